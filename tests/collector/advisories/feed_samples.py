"""Small documents in the official feeds' own formats, for tests; facts are the snapshot's, or made up beside.

What is made up has ids of the year 2026 from CVE-2026-99000 on, so that nothing on board can have it.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from typing import Any

FRESH = "CVE-2026-99001"
"""A vulnerability that only these samples know of."""


def encode(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], packing: str = "xz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    plain = buffer.getvalue()
    if packing == "xz":
        return lzma.compress(plain)
    return bz2.compress(plain) if packing == "bz2" else plain


# --- OpenSSL ----------------------------------------------------------------------------------------------------------


def openssl_record(
    cve: str = "CVE-2024-6119",
    day: str = "2024-09-03T14:00:00.000Z",
    severity: str | None = "Moderate",
    ranges: tuple[tuple[str, str | None], ...] = (("3.3.0", "3.3.2"), ("3.0.0", "3.0.15")),
) -> dict[str, Any]:
    versions = []
    for begin, end in ranges:
        version = {"status": "affected", "version": begin, "versionType": "semver"}
        if end is not None:
            version["lessThan"] = end
        versions.append(version)
    metrics = [{"format": "other", "other": {"content": {"text": severity}, "type": "https://openssl-library.org/"}}]
    return {
        "containers": {
            "cna": {
                "affected": [
                    {"defaultStatus": "unaffected", "product": "OpenSSL", "vendor": "OpenSSL", "versions": versions}
                ],
                "datePublic": day,
                "metrics": metrics if severity is not None else [],
                "title": "A sample",
            }
        },
        "cveMetadata": {"cveId": cve, "serial": 1, "state": "PUBLISHED"},
        "dataType": "CVE_RECORD",
        "dataVersion": "5.1",
    }


def openssl_archive(*records: dict[str, Any]) -> bytes:
    chosen = records or (
        openssl_record(),
        openssl_record(FRESH, "2026-11-20T12:00:00Z", "High", (("3.5.0", "3.5.12"), ("1.1.1", "1.1.1zz"))),
    )
    files = {f"release-metadata-main/secjson/{one['cveMetadata']['cveId']}.json": encode(one) for one in chosen}
    return zip_of({"release-metadata-main/newsflash.md": b"# Newslog\n", **files})


# --- Node.js ----------------------------------------------------------------------------------------------------------

FRESH_OF_NODE = "CVE-2026-99005"
"""A vulnerability of Node.js that only these samples know of."""


def node_entry(
    cve: tuple[str, ...] = (FRESH_OF_NODE,),
    vulnerable: str = "22.x || 24.x",
    patched: str = "^22.99.1 || ^24.99.0",
    ref: str | None = "https://nodejs.org/en/blog/vulnerability/november-2026-security-releases/",
    **changes: Any,
) -> dict[str, Any]:
    entry = {
        "cve": list(cve),
        "vulnerable": vulnerable,
        "patched": patched,
        "ref": ref,
        "description": "A sample",
        "overview": "A sample",
        "affectedEnvironments": ["all"],
        "severity": "high",
    }
    return {key: value for key, value in {**entry, **changes}.items() if value is not None}


def node_database(*entries: dict[str, Any]) -> dict[str, Any]:
    """Return the core database's ``index.json``: the entries by their numbers."""
    chosen = entries or (
        node_entry(
            ("CVE-2018-12121",),
            "6.x || 8.x || 10.x || 11.x",
            "^6.15.0 || ^8.14.0 || ^10.14.0 || ^11.3.0",
            publish_date="2018-11-27",
        ),
        node_entry(),
        # An entry about the OpenSSL inside.
        node_entry(("CVE-2024-6119",), "24.x", "^24.99.0"),
    )
    return {str(number): entry for number, entry in enumerate(chosen, start=1)}


def node_releases(*releases: tuple[str, str]) -> bytes:
    chosen = releases or (("24.99.0", "2026-11-19"), ("22.99.1", "2026-11-18"), ("0.10.48", "2016-10-18"))
    items = [
        {
            "version": f"v{version}",
            "date": day,
            "files": ["headers", "linux-x64", "src"],
            "npm": "11.6.2",
            "v8": "13.6.233.17",
            "uv": "1.51.0",
            "zlib": "1.3.1",
            "openssl": "3.5.4",
            "modules": "137",
            "lts": False,
            "security": True,
        }
        for version, day in chosen
    ]
    return encode(items)


# --- OSV --------------------------------------------------------------------------------------------------------------


def psf_record(
    identity: str = "PSF-2026-1",
    cve: str | None = "CVE-2026-99003",
    versions: tuple[str, ...] = (),
    day: str = "2026-11-21",
) -> dict[str, Any]:
    affected: dict[str, Any] = {
        "ranges": [
            {
                "type": "GIT",
                "repo": "https://github.com/python/cpython",
                "events": [{"introduced": "0"}, {"fixed": "0a4f650347fdcfd82d094ab2134ca89584f4e877"}],
            }
        ]
    }
    if versions:
        affected["versions"] = list(versions)
    return {
        "modified": f"{day}T00:00:00Z",
        "published": f"{day}T00:00:00Z",
        "schema_version": "1.5.0",
        "id": identity,
        "aliases": [] if cve is None else [cve],
        "affected": [affected],
    }


def psf_archive(*records: dict[str, Any]) -> bytes:
    chosen = records or (psf_record(), psf_record("PSF-2022-1", "CVE-2015-20107"))
    files = {f"advisory-database-main/advisories/python/{one['id']}.json": encode(one) for one in chosen}
    return zip_of({"advisory-database-main/README.md": b"# Advisories\n", **files})


def erratum(
    identity: str = "ALSA-2026:99001",
    ecosystem: str = "AlmaLinux:9",
    packages: tuple[tuple[str, str], ...] = (("openssl", "1:3.5.5-9.el9_8"), ("openssl-libs", "1:3.5.5-9.el9_8")),
    cves: tuple[str, ...] = (FRESH,),
    names: str = "related",
) -> dict[str, Any]:
    affected = [
        {
            "package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": version}]}],
        }
        for name, version in packages
    ]
    return {
        "id": identity,
        "summary": "Important: security update",
        "affected": affected,
        names: list(cves),
        "published": "2026-11-19T00:00:00Z",
        "modified": "2026-11-22T03:30:10.178093312Z",
    }


def almalinux_archive(*records: dict[str, Any]) -> bytes:
    chosen = records or (
        erratum(),
        erratum("ALSA-2026:99002", packages=(("glibc", "2.34-300.el9_8"),), cves=("CVE-2026-99002",)),
        erratum("ALSA-2026:99003", packages=(("python3-libs", "3.9.25-9.el9_8"),), cves=("CVE-2026-99003",)),
    )
    return zip_of({f"osv-database-master/advisories/almalinux9/{one['id']}.json": encode(one) for one in chosen})


def rocky_archive() -> bytes:
    record = erratum("RLSA-2026:99001", "Rocky Linux:9", names="upstream")
    return zip_of({"RLSA-2026:99001.json": encode(record)})


def ubuntu_record(
    cve: str = FRESH,
    affected: tuple[tuple[str, str, str | None], ...] = (("Ubuntu:24.04:LTS", "openssl", "3.0.13-0ubuntu3.99"),),
) -> dict[str, Any]:
    items = []
    for ecosystem, name, fixed in affected:
        events: list[dict[str, str]] = [{"introduced": "0"}]
        if fixed is not None:
            events.append({"fixed": fixed})
        items.append(
            {
                "package": {"ecosystem": ecosystem, "name": name, "purl": f"pkg:deb/ubuntu/{name}?arch=source"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
                "versions": ["3.0.13-0ubuntu3"],
            }
        )
    return {
        "schema_version": "1.7.0",
        "id": f"UBUNTU-{cve}",
        "upstream": [cve],
        "published": "2026-11-20T00:00:00Z",
        "modified": "2026-11-23T14:11:36Z",
        "affected": items,
    }


def ubuntu_archive(*records: dict[str, Any]) -> bytes:
    chosen = records or (
        ubuntu_record(
            affected=(
                ("Ubuntu:24.04:LTS", "openssl", "3.0.13-0ubuntu3.99"),
                ("Ubuntu:22.04:LTS", "openssl", None),
                ("Ubuntu:Pro:20.04:LTS", "openssl", "1.1.1f-1ubuntu2.24+esm9"),
                ("Ubuntu:Pro:FIPS-updates:22.04:LTS", "openssl", "3.0.2-0ubuntu1.99+Fips1"),
            )
        ),
        ubuntu_record("CVE-2026-99004", (("Ubuntu:24.04:LTS", "openssl", "3.0.13-0ubuntu3.98"),)),
    )
    return tar_of({f"osv/cve/2026/{one['id']}.json": encode(one) for one in chosen})


# --- others -----------------------------------------------------------------------------------------------------------


def debian_tracker(extra: dict[str, Any] | None = None) -> bytes:
    def state(version: str | None, status: str = "resolved") -> dict[str, Any]:
        found: dict[str, Any] = {"status": status, "repositories": {"bookworm": "3.0.15-1~deb12u1"}, "urgency": "low"}
        if version is not None:
            found["fixed_version"] = version
        return found

    openssl = {
        "CVE-2024-6119": {
            "scope": "remote",
            "description": "Issue summary: name checks",
            "releases": {
                "bullseye": state("0"),
                "bookworm": state("3.0.14-1~deb12u2"),
                "trixie": state("3.3.2-1"),
                "sid": state("3.3.2-1"),
            },
        },
        FRESH: {
            "releases": {"bookworm": state("3.0.22-1~deb12u9"), "trixie": state(None, "open"), "bullseye": state("0")}
        },
        "TEMP-0000000-ABCDEF": {"releases": {"bookworm": state(None, "undetermined")}},
    }
    return encode(
        {"aalib": {"CVE-2026-99010": {"releases": {"bookworm": state("1-1")}}}, "openssl": openssl, **(extra or {})}
    )


def alpine_database(release: str = "v3.22", version: str = "3.5.9-r9") -> bytes:
    packages = [
        {
            "pkg": {
                "name": "openssl",
                "secfixes": {version: [f"{FRESH} GHSA-xxxx", "CVE-2026-99005"], "0": ["CVE-2024-5535"]},
            }
        },
        {"pkg": {"name": "busybox", "secfixes": {"1.37.0-r20": ["CVE-2026-99011"]}}},
        {"pkg": {"name": "python3", "secfixes": {"3.12.12-r9": ["CVE-2026-99003"]}}},
    ]
    table = {
        "apkurl": "{{urlprefix}}/{{distroversion}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
        "archs": ["x86_64"],
        "reponame": "main",
        "urlprefix": "https://dl-cdn.alpinelinux.org/alpine",
        "distroversion": release,
        "packages": packages,
    }
    return encode(table)


def redhat_changes(*cves: str) -> bytes:
    lines = [f'"2026/{cve.lower()}.json","2026-11-22T10:11:12+00:00"\n' for cve in cves]
    return "".join([*lines, '"2010/cve-2010-0001.json","2025-01-02T10:11:12+00:00"\n']).encode()


def redhat_vex(cve: str = "CVE-2024-6119") -> bytes:
    def product(name: str, **helper: str) -> dict[str, Any]:
        return {"name": name, "product_id": name, "product_identification_helper": helper}

    def pair(outer: str, inner: str) -> dict[str, Any]:
        return {
            "category": "default_component_of",
            "full_product_name": {"name": f"{inner} as a component of {outer}", "product_id": f"{outer}:{inner}"},
            "product_reference": inner,
            "relates_to_product_reference": outer,
        }

    main, extended, el8 = "BaseOS-9.8.0.Z.MAIN", "BaseOS-9.2.0.Z.EUS", "red_hat_enterprise_linux_8"
    source, older, binary = (
        "openssl-1:3.5.5-9.el9_8.src",
        "openssl-1:3.0.7-99.el9_2.src",
        "openssl-libs-1:3.5.5-9.el9_8.x86_64",
    )
    families = [
        {
            "category": "product_name",
            "name": main,
            "product": product(main, cpe="cpe:/o:redhat:enterprise_linux:9::baseos"),
        },
        {
            "category": "product_name",
            "name": extended,
            "product": product(extended, cpe="cpe:/o:redhat:rhel_eus:9.2::baseos"),
        },
        {"category": "product_name", "name": el8, "product": product(el8, cpe="cpe:/o:redhat:enterprise_linux:8")},
    ]
    purl = "pkg:rpm/redhat/{0}@{1}?arch={2}&epoch=1"
    packages = [
        {
            "category": "product_version",
            "product": product(source, purl=purl.format("openssl", "3.5.5-9.el9_8", "src")),
        },
        {
            "category": "product_version",
            "product": product(older, purl=purl.format("openssl", "3.0.7-99.el9_2", "src")),
        },
        {
            "category": "product_version",
            "product": product(binary, purl=purl.format("openssl-libs", "3.5.5-9.el9_8", "x86_64")),
        },
        {"category": "product_version", "product": product("openssl.src", purl="pkg:rpm/redhat/openssl?arch=src")},
    ]
    tree = {
        "branches": [
            {
                "category": "vendor",
                "name": "Red Hat",
                "branches": [
                    {"category": "product_family", "name": "Red Hat Enterprise Linux", "branches": families},
                    {"category": "architecture", "name": "src", "branches": packages},
                ],
            }
        ],
        "relationships": [pair(main, source), pair(main, binary), pair(extended, older), pair(el8, "openssl.src")],
    }
    status = {
        "fixed": [f"{main}:{source}", f"{main}:{binary}", f"{extended}:{older}"],
        "known_not_affected": [f"{el8}:openssl.src"],
    }
    document = {
        "category": "csaf_vex",
        "csaf_version": "2.0",
        "publisher": {"category": "vendor", "name": "Red Hat Product Security"},
        "title": "openssl: a sample",
        "tracking": {"id": cve, "current_release_date": "2026-11-22T10:11:12+00:00", "status": "final"},
    }
    return encode(
        {"document": document, "product_tree": tree, "vulnerabilities": [{"cve": cve, "product_status": status}]}
    )


def checksum_of(content: bytes, name: str = "cve-2024-6119.json") -> bytes:
    """Return what Red Hat publishes beside a document, as `sha256sum` prints it."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def endoflife_answer() -> bytes:
    def release(name: str, **changes: Any) -> dict[str, Any]:
        plain = {
            "name": name,
            "codename": None,
            "label": name,
            "releaseDate": "2026-10-09",
            "isLts": False,
            "isEol": False,
            "eolFrom": "2031-10-31",
            "isMaintained": True,
            "latest": {"name": f"{name}.2", "date": "2026-11-15", "link": None},
            "custom": None,
        }
        return {**plain, **changes}

    products = [
        {"name": "python", "label": "Python", "category": "lang", "releases": [release("3.15")]},
        {
            "name": "ubuntu",
            "label": "Ubuntu",
            "category": "os",
            "releases": [
                release("26.10", codename="Sample"),
                release("24.04", eolFrom="2029-06-30", eoesFrom="2036-06-30"),
            ],
        },
        {"name": "openssl", "label": "OpenSSL", "category": "server-app", "releases": [release("4.1")]},
        {
            "name": "nodejs",
            "label": "Node.js",
            "category": "lang",
            "releases": [release("26", eolFrom=None, isEol=True)],
        },
        {"name": "angular", "label": "Angular", "category": "framework", "releases": [release("22")]},
    ]
    return encode(
        {"schema_version": "1.2.0", "generated_at": "2026-11-24T01:02:03+00:00", "total": 5, "result": products}
    )


PBS_TAG = "20261120"


def github_releases(repository: str, *releases: tuple[str, str, tuple[str, ...]]) -> bytes:
    items = [
        {
            "url": f"https://api.github.com/repos/{repository}/releases/{number}",
            "tag_name": tag,
            "draft": False,
            "prerelease": False,
            "published_at": f"{day}T10:00:00Z",
            "assets": [{"name": name, "digest": f"sha256:{number:064x}", "size": 1} for name in assets],
        }
        for number, (tag, day, assets) in enumerate(releases, start=100)
    ]
    return encode(items)


def pbs_releases() -> bytes:
    names = tuple(
        f"cpython-{version}+{PBS_TAG}-{triple}-install_only.tar.gz"
        for version in ("3.12.17", "3.13.19", "3.14.11", "3.16.0a3")
        for triple in ("x86_64-unknown-linux-gnu", "aarch64-apple-darwin")
    )
    return github_releases("astral-sh/python-build-standalone", (PBS_TAG, "2026-11-20", (*names, "SHA256SUMS")))


def pbs_source(version: str = "3.5.12") -> bytes:
    return f"""# Downloads.
DOWNLOADS = {{
    "openssl-1.1": {{"url": "https://example.org/openssl-1.1.1w.tar.gz", "size": 1, "version": "1.1.1w"}},
    # Newer builds.
    "openssl-3.5": {{"url": "https://example.org/o.tar.gz", "size": 2, "version": "{version}"}},
    "xz": {{"url": "https://example.org/xz.tar.gz", "size": 3, "version": "5.8.2"}},
}}
""".encode()


UV = "0.13.99"


def uv_releases() -> bytes:
    return github_releases("astral-sh/uv", (UV, "2026-11-21", ("uv-x86_64-unknown-linux-gnu.tar.gz",)))


def uv_metadata(build: str = PBS_TAG) -> bytes:
    entries = {
        f"cpython-3.{minor}.1-linux-x86_64-gnu": {
            "name": "cpython",
            "major": 3,
            "minor": minor,
            "patch": 1,
            "url": f"https://github.com/astral-sh/python-build-standalone/releases/download/{tag}/x.tar.gz",
            "build": tag,
        }
        for minor, tag in ((14, build), (9, "20260610"), (8, None))
    }
    return encode(entries)
