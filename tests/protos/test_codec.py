"""The codec's laws: what goes over the wire comes back the same, has one encoding, and is valid or refused by name."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.facts import codec
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.process import ProcessSet
from libcensus.facts.report import ProbeResult, Report
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    MappingState,
    ProbeState,
    Provider,
    RootKind,
)
from libcensus.v1 import census_pb2, enrollment_pb2, facts_pb2, fleet_pb2
from tests.protos import strategies as made

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

PAIRS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Any], Callable[[Any], Any], type[Message]]] = {
    "evidence": (made.evidences, codec.evidence_to_proto, codec.evidence_from_proto, facts_pb2.Evidence),
    "package": (made.packages, codec.package_to_proto, codec.package_from_proto, facts_pb2.Package),
    "crypto_library": (
        made.crypto_libraries,
        codec.crypto_library_to_proto,
        codec.crypto_library_from_proto,
        facts_pb2.CryptoLibrary,
    ),
    "crypto_use": (made.crypto_uses, codec.crypto_use_to_proto, codec.crypto_use_from_proto, facts_pb2.CryptoUse),
    "requirement": (made.requirements, codec.requirement_to_proto, codec.requirement_from_proto, facts_pb2.Requirement),
    "artefact": (made.artefacts, codec.artefact_to_proto, codec.artefact_from_proto, facts_pb2.Artefact),
    "platform": (made.platforms, codec.platform_to_proto, codec.platform_from_proto, facts_pb2.Platform),
    "build": (made.builds, codec.build_to_proto, codec.build_from_proto, facts_pb2.Build),
    "install": (made.installs, codec.install_to_proto, codec.install_from_proto, facts_pb2.Install),
    "install_set": (made.install_sets, codec.install_set_to_proto, codec.install_set_from_proto, facts_pb2.InstallSet),
    "host": (made.hosts, codec.host_to_proto, codec.host_from_proto, facts_pb2.Host),
    "inventory": (made.inventories, codec.inventory_to_proto, codec.inventory_from_proto, facts_pb2.Inventory),
    "os_release": (made.os_releases, codec.os_release_to_proto, codec.os_release_from_proto, facts_pb2.OsRelease),
    "libc": (made.libcs, codec.libc_to_proto, codec.libc_from_proto, facts_pb2.Libc),
    "crypto_copy": (made.crypto_copies, codec.crypto_copy_to_proto, codec.crypto_copy_from_proto, facts_pb2.CryptoCopy),
    "crypto_copy_set": (
        made.crypto_copy_sets,
        codec.crypto_copy_set_to_proto,
        codec.crypto_copy_set_from_proto,
        facts_pb2.CryptoCopySet,
    ),
    "tool_set": (made.tool_sets, codec.tool_set_to_proto, codec.tool_set_from_proto, facts_pb2.ToolSet),
    "scanned_root": (
        made.scanned_roots,
        codec.scanned_root_to_proto,
        codec.scanned_root_from_proto,
        facts_pb2.ScannedRoot,
    ),
    "root_set": (made.root_sets, codec.root_set_to_proto, codec.root_set_from_proto, facts_pb2.RootSet),
    "changelog": (made.changelogs, codec.changelog_to_proto, codec.changelog_from_proto, facts_pb2.PackageChangelog),
    "process_set": (made.process_sets, codec.process_set_to_proto, codec.process_set_from_proto, facts_pb2.ProcessSet),
    "probe_result": (
        made.probe_results,
        codec.probe_result_to_proto,
        codec.probe_result_from_proto,
        census_pb2.ProbeResult,
    ),
    "agent_state": (made.agent_states, codec.agent_state_to_proto, codec.agent_state_from_proto, census_pb2.AgentState),
    "report": (made.reports, codec.report_to_proto, codec.report_from_proto, census_pb2.ReportRequest),
}


@pytest.mark.parametrize("name", PAIRS)
@given(data=st.data())
@settings(max_examples=60)
def test_what_is_encoded_decodes_to_the_same_value(name: str, data: st.DataObject) -> None:
    strategy, to_proto, from_proto, message_type = PAIRS[name]
    value = data.draw(strategy)
    message = to_proto(value)
    assert isinstance(message, message_type)
    over_the_wire = message_type.FromString(message.SerializeToString())
    assert from_proto(over_the_wire) == value


def test_every_pair_of_conversions_is_in_the_table() -> None:
    values = {"digest", "fact_kind", "seconds", "time"}
    pairs = {name.removesuffix("_to_proto") for name in vars(codec) if name.endswith("_to_proto") and name[0] != "_"}
    assert pairs - values == set(PAIRS)
    assert {f"{name}_from_proto" for name in pairs} <= set(vars(codec))


@given(fact=made.facts)
@settings(max_examples=150)
def test_a_fact_has_one_encoding_and_its_address_is_that_of_the_bytes(fact: codec.Fact) -> None:
    kind, digest, payload = codec.encode_fact(fact)
    assert codec.encode_fact(fact) == (kind, digest, payload)
    assert codec.encode_fact(replace(fact)) == (kind, digest, payload)
    decoded = codec.decode_fact(kind, payload)
    assert decoded == fact
    assert codec.encode_fact(decoded) == (kind, digest, payload)
    assert digest == hashlib.sha256(kind.value.encode() + b"\0" + payload).hexdigest() == fact_digest(kind, payload)


@given(one=made.facts, other=made.facts)
def test_different_facts_have_different_addresses(one: codec.Fact, other: codec.Fact) -> None:
    assert (codec.encode_fact(one)[1] == codec.encode_fact(other)[1]) == (one == other)


def test_the_same_bytes_of_two_kinds_have_two_addresses() -> None:
    assert codec.encode_fact(InstallSet())[2] == codec.encode_fact(Platform())[2] == b""
    assert codec.encode_fact(InstallSet())[1] != codec.encode_fact(Platform())[1]


def test_the_address_of_a_known_fact_never_changes() -> None:
    # A change here makes every stored address of every fleet unreachable: it must be deliberate.
    fact = Platform(arch="x86_64", x86_64_level=3, kernel="6.1", loaders=("/lib64/ld-linux-x86-64.so.2",))
    assert codec.encode_fact(fact)[1] == "8ab479560bd1ebdf0548d5bfa31357d954878d924e06c61bebced405191774d8"


def test_what_is_no_fact_cannot_be_encoded() -> None:
    with pytest.raises(TypeError, match="str is no addressed fact"):
        codec.encode_fact("text")  # type: ignore[arg-type]


@given(report=made.reports)
@settings(max_examples=60)
def test_a_kept_report_comes_back_the_same(report: Report) -> None:
    assert codec.decode_report(codec.encode_report(report)) == report


def test_bytes_that_are_no_report_are_refused() -> None:
    with pytest.raises(InvalidFactError, match="payload"):
        codec.decode_report(b"\xff\xff\xff")
    with pytest.raises(InvalidFactError, match=r"report\.inventory"):
        codec.decode_report(b"")


@given(nanos=st.integers(0, 10**18 - 1))
def test_a_duration_from_the_wire_goes_back_as_the_same_seconds(nanos: int) -> None:
    message = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
    seconds = codec.seconds_from_proto("duration", message)
    assert codec.seconds_from_proto("duration", codec.seconds_to_proto(seconds)) == seconds


@given(seconds=st.floats(0, 1e9, exclude_max=True))
def test_any_duration_is_carried_to_the_nanosecond(seconds: float) -> None:
    message = codec.seconds_to_proto(seconds)
    assert 0 <= message.nanos < 10**9
    # A float of many seconds is coarser than a nanosecond.
    assert abs(codec.seconds_from_proto("duration", message) - seconds) <= max(0.5e-9, math.ulp(seconds))


# --- the schema -------------------------------------------------------------------------------------------------------


def all_messages() -> list[Descriptor]:
    files = (census_pb2, enrollment_pb2, facts_pb2, fleet_pb2)
    return [message for file in files for message in file.DESCRIPTOR.message_types_by_name.values()]


def test_no_message_of_the_contract_has_a_map_whose_order_would_be_free() -> None:
    maps = [
        f"{message.full_name}.{field.name}"
        for message in all_messages()
        for field in message.fields
        if field.message_type is not None and field.message_type.GetOptions().map_entry
    ]
    assert not maps


def test_no_fact_holds_a_floating_point_number_whose_encoding_would_be_free() -> None:
    kinds = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}
    found = [
        field.full_name
        for message in facts_pb2.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.type in kinds
    ]
    assert not found


def test_fields_are_numbered_from_one_without_a_gap() -> None:
    # The contract is young: a gap would be a removed field, and then `reserved` must name it, and this test must know.
    for message in all_messages():
        assert [field.number for field in message.fields] == list(range(1, len(message.fields) + 1)), message.full_name


# --- what cannot be a fact --------------------------------------------------------------------------------------------

DIGEST = bytes(range(32))
EVIDENCE = facts_pb2.Evidence(subject="version", file="/f", detail="d")


def install(**fields: Any) -> facts_pb2.Install:
    valid = {"root": "/", "path": "/usr/bin/python3", "realpath": "/usr/bin/python3.11"}
    return facts_pb2.Install(**{**valid, **fields})


def build(**fields: Any) -> facts_pb2.Build:
    return facts_pb2.Build(**fields)


def file(**fields: Any) -> facts_pb2.BuildFile:
    return facts_pb2.BuildFile(**{"path": "bin/python3", "sha256": DIGEST, **fields})


def inventory(**fields: Any) -> facts_pb2.Inventory:
    return facts_pb2.Inventory(
        **{"host": facts_pb2.Host(hostname="h"), "platform": DIGEST, "installs": DIGEST, **fields}
    )


def package(**fields: Any) -> facts_pb2.Package:
    valid = {"manager": "dpkg", "name": "libssl3", "version": "3.0", "source": "openssl", "source_version": "3.0"}
    return facts_pb2.Package(**{**valid, **fields})


def needing(**fields: Any) -> facts_pb2.Build:
    return build(files=[file(requirement=facts_pb2.Requirement(**fields))])


def copy(**fields: Any) -> facts_pb2.CryptoCopy:
    valid = {"root": "/", "path": "/opt/venv/lib/_rust.abi3.so", "linkage": "LINKAGE_STATIC"}
    return facts_pb2.CryptoCopy(**{**valid, **fields})


def copies(**fields: Any) -> facts_pb2.CryptoCopySet:
    return facts_pb2.CryptoCopySet(copies=[copy(**fields)])


def tool(**fields: Any) -> facts_pb2.Tool:
    return facts_pb2.Tool(**{"root": "/", "path": "/usr/local/bin/uv", "name": "uv", **fields})


def setting(**fields: Any) -> facts_pb2.ToolSetting:
    valid = {"root": "/", "path": "/etc/uv/uv.toml", "tool": "uv", "name": "python-downloads", "value": "never"}
    return facts_pb2.ToolSetting(**{**valid, **fields})


def roots(**fields: Any) -> facts_pb2.RootSet:
    return facts_pb2.RootSet(roots=[facts_pb2.ScannedRoot(**{"name": "/srv/chroot", **fields})])


def changelog(**fields: Any) -> facts_pb2.PackageChangelog:
    return facts_pb2.PackageChangelog(**{"package": package(), **fields})


def group(**fields: Any) -> facts_pb2.ProcessGroup:
    return facts_pb2.ProcessGroup(**{"root": "/", "executable": "/usr/bin/python3.11", "processes": 3, **fields})


FIX = facts_pb2.ChangelogFix(advisory="CVE-2024-0727", version="3.0.13-1~deb12u1")

STATIC = 1

MALFORMED: list[tuple[FactKind, Message, str]] = [
    (FactKind.INVENTORY, inventory(host=None), "inventory.host.hostname"),
    (FactKind.INVENTORY, inventory(host=facts_pb2.Host(hostname="a\0b")), "inventory.host.hostname"),
    (FactKind.INVENTORY, inventory(platform=b""), "inventory.platform"),
    (FactKind.INVENTORY, inventory(installs=DIGEST[:31]), "inventory.installs"),
    (FactKind.INVENTORY, inventory(builds=[b"x"]), "inventory.builds"),
    (FactKind.INVENTORY, inventory(builds=[DIGEST, DIGEST]), "inventory.builds"),
    (
        FactKind.INVENTORY,
        inventory(host=facts_pb2.Host(hostname="h", os_release=facts_pb2.OsRelease(id=""))),
        "inventory.host.os_release.id",
    ),
    (
        FactKind.INVENTORY,
        inventory(host=facts_pb2.Host(hostname="h", os_release=facts_pb2.OsRelease(id_like=["x" * 65]))),
        "inventory.host.os_release.id_like",
    ),
    (
        FactKind.INVENTORY,
        inventory(host=facts_pb2.Host(hostname="h", libc=facts_pb2.Libc(package=package(name="")))),
        "inventory.host.libc.package.name",
    ),
    (
        FactKind.INVENTORY,
        inventory(host=facts_pb2.Host(hostname="h", libc=facts_pb2.Libc(version="x" * 65))),
        "inventory.host.libc.version",
    ),
    (
        FactKind.INVENTORY,
        inventory(host=facts_pb2.Host(hostname="h", evidence=[EVIDENCE, EVIDENCE])),
        "inventory.host.evidence",
    ),
    (FactKind.INVENTORY, inventory(crypto_copies=b""), "inventory.crypto_copies"),
    (FactKind.INVENTORY, inventory(tools=b"x"), "inventory.tools"),
    (FactKind.INVENTORY, inventory(roots=DIGEST[:31]), "inventory.roots"),
    (FactKind.INVENTORY, inventory(changelogs=[DIGEST, DIGEST]), "inventory.changelogs"),
    (FactKind.PLATFORM, facts_pb2.Platform(x86_64_level=5), "platform.x86_64_level"),
    (FactKind.PLATFORM, facts_pb2.Platform(loaders=["lib/ld.so"]), "platform.loaders"),
    (FactKind.PLATFORM, facts_pb2.Platform(loaders=["/b", "/a"]), "platform.loaders"),
    (
        FactKind.PLATFORM,
        facts_pb2.Platform(libraries=[facts_pb2.PlatformLibrary(soname="")]),
        "platform.libraries.soname",
    ),
    (
        FactKind.PLATFORM,
        facts_pb2.Platform(libraries=[facts_pb2.PlatformLibrary(soname="a", versions=["b", "a"])]),
        "platform.libraries.versions",
    ),
    (
        FactKind.PLATFORM,
        facts_pb2.Platform(libraries=[facts_pb2.PlatformLibrary(soname="a"), facts_pb2.PlatformLibrary(soname="a")]),
        "platform.libraries",
    ),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(root="")]), "install_set.installs.root"),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(path="bin")]), "install_set.installs.path"),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(realpath="x")]), "install_set.installs.realpath"),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(build=b"")]), "install_set.installs.build"),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(base="b")]), "install_set.installs.base"),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(aliases=["a"])]), "install_set.installs.aliases"),
    (FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install(), install()]), "install_set.installs"),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(installs=[install(package=package(manager=""))]),
        "install_set.installs.package.manager",
    ),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(installs=[install(evidence=[facts_pb2.Evidence(subject="")])]),
        "install_set.installs.evidence.subject",
    ),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(installs=[install(evidence=[facts_pb2.Evidence(subject="s", offset=2**63)])]),
        "install_set.installs.evidence.offset",
    ),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(installs=[install(crypto=facts_pb2.CryptoUse(linkage="LINKAGE_STATIC"))]),
        "install_set.installs.crypto.library",
    ),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(
            installs=[install(crypto=facts_pb2.CryptoUse(linkage="LINKAGE_NONE", library=facts_pb2.CryptoLibrary()))]
        ),
        "install_set.installs.crypto.library",
    ),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(
            installs=[
                install(
                    crypto=facts_pb2.CryptoUse(
                        linkage="LINKAGE_STATIC", library=facts_pb2.CryptoLibrary(version="x" * 65)
                    )
                )
            ]
        ),
        "install_set.installs.crypto.library.version",
    ),
    (
        FactKind.INSTALL_SET,
        facts_pb2.InstallSet(installs=[install(crypto=facts_pb2.CryptoUse(path="lib"))]),
        "install_set.installs.crypto.path",
    ),
    (FactKind.BUILD, build(version=""), "build.version"),
    (FactKind.BUILD, build(flags=["pgo", "lto"]), "build.flags"),
    (FactKind.BUILD, build(flags=[""]), "build.flags"),
    (FactKind.BUILD, build(files=[file(path="/bin/python3")]), "build.files.path"),
    (FactKind.BUILD, build(files=[file(path="../python3")]), "build.files.path"),
    (FactKind.BUILD, build(files=[file(path="")]), "build.files.path"),
    (FactKind.BUILD, build(files=[file(sha256=b"short")]), "build.files.sha256"),
    (FactKind.BUILD, build(files=[file(size=2**63)]), "build.files.size"),
    (FactKind.BUILD, build(files=[file(soname="")]), "build.files.soname"),
    (FactKind.BUILD, build(files=[file(), file()]), "build.files"),
    (FactKind.BUILD, needing(x86_64_level=0), "build.files.requirement.x86_64_level"),
    (FactKind.BUILD, needing(sonames=["b", "a"]), "build.files.requirement.sonames"),
    (FactKind.BUILD, needing(runpath=["a\0"]), "build.files.requirement.runpath"),
    (
        FactKind.BUILD,
        needing(needs=[facts_pb2.LibraryNeed(soname="libc.so.6", versions=[""])]),
        "build.files.requirement.needs.versions",
    ),
    (
        FactKind.BUILD,
        needing(needs=[facts_pb2.LibraryNeed(soname="b"), facts_pb2.LibraryNeed(soname="a")]),
        "build.files.requirement.needs",
    ),
    (
        FactKind.BUILD,
        needing(needs=[facts_pb2.LibraryNeed(soname="a", weak=["b", "a"])]),
        "build.files.requirement.needs.weak",
    ),
    (
        FactKind.BUILD,
        needing(raised_by=[facts_pb2.RaisedBy(version="GLIBC_2.17", soname="libc.so.6")]),
        "build.files.requirement.raised_by.file",
    ),
    (FactKind.CRYPTO_COPY_SET, copies(root="opt"), "crypto_copy_set.copies.root"),
    (FactKind.CRYPTO_COPY_SET, copies(path="lib/x.so"), "crypto_copy_set.copies.path"),
    (FactKind.CRYPTO_COPY_SET, copies(linkage="LINKAGE_NONE"), "crypto_copy_set.copies.linkage"),
    (FactKind.CRYPTO_COPY_SET, copies(environment="venv"), "crypto_copy_set.copies.environment"),
    (FactKind.CRYPTO_COPY_SET, copies(owner=facts_pb2.CopyOwner(name="n")), "crypto_copy_set.copies.owner.ecosystem"),
    (
        FactKind.CRYPTO_COPY_SET,
        copies(library=facts_pb2.CryptoLibrary(version="x" * 65)),
        "crypto_copy_set.copies.library.version",
    ),
    (FactKind.CRYPTO_COPY_SET, copies(evidence=[EVIDENCE, EVIDENCE]), "crypto_copy_set.copies.evidence"),
    (FactKind.CRYPTO_COPY_SET, facts_pb2.CryptoCopySet(copies=[copy(), copy()]), "crypto_copy_set.copies"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(tools=[tool(name="")]), "tool_set.tools.name"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(tools=[tool(path="uv")]), "tool_set.tools.path"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(tools=[tool(newest_build="9" * 33)]), "tool_set.tools.newest_build"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(tools=[tool(package=package(name=""))]), "tool_set.tools.package.name"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(tools=[tool(), tool()]), "tool_set.tools"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(settings=[setting(name="")]), "tool_set.settings.name"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(settings=[setting(value="x" * 257)]), "tool_set.settings.value"),
    (FactKind.TOOL_SET, facts_pb2.ToolSet(settings=[setting(), setting()]), "tool_set.settings"),
    (FactKind.ROOT_SET, roots(name="relative"), "root_set.roots.name"),
    (FactKind.ROOT_SET, roots(platform=b"short"), "root_set.roots.platform"),
    (FactKind.ROOT_SET, roots(os_release=facts_pb2.OsRelease(id="")), "root_set.roots.os_release.id"),
    (FactKind.ROOT_SET, roots(libc=facts_pb2.Libc(version="")), "root_set.roots.libc.version"),
    (FactKind.ROOT_SET, roots(container=facts_pb2.Container()), "root_set.roots.container.runtime"),
    (FactKind.ROOT_SET, roots(tags=["b", "a"]), "root_set.roots.tags"),
    (
        FactKind.ROOT_SET,
        facts_pb2.RootSet(
            roots=[
                facts_pb2.ScannedRoot(name="/", kind="ROOT_KIND_HOST"),
                facts_pb2.ScannedRoot(name="/srv", kind="ROOT_KIND_HOST"),
            ]
        ),
        "root_set.roots",
    ),
    (FactKind.CHANGELOG, facts_pb2.PackageChangelog(), "changelog.package.manager"),
    (FactKind.CHANGELOG, changelog(entries=2**31), "changelog.entries"),
    (
        FactKind.CHANGELOG,
        changelog(fixes=[facts_pb2.ChangelogFix(advisory="CVE-20-1", version="1")]),
        "changelog.fixes.advisory",
    ),
    (FactKind.CHANGELOG, changelog(fixes=[FIX, FIX]), "changelog.fixes"),
    (FactKind.CHANGELOG, changelog(state="CHANGELOG_STATE_MISSING", fixes=[FIX]), "changelog.fixes"),
]


@pytest.mark.parametrize(
    ("kind", "message", "field"),
    MALFORMED,
    ids=[f"{number}-{field}" for number, (_, _, field) in enumerate(MALFORMED)],
)
def test_a_malformed_fact_is_refused_by_the_name_of_its_field(kind: FactKind, message: Message, field: str) -> None:
    with pytest.raises(InvalidFactError) as caught:
        codec.decode_fact(kind, message.SerializeToString())
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def report(**fields: Any) -> census_pb2.ReportRequest:
    valid: dict[str, Any] = {
        "report_id": bytes(16),
        "agent_version": "0.1.0",
        "scanned_at": Timestamp(seconds=1_800_000_000),
        "scan_duration": Duration(seconds=3),
        "inventory": DIGEST,
    }
    return census_pb2.ReportRequest(**{**valid, **fields})


def probe(**fields: Any) -> census_pb2.ProbeResult:
    return census_pb2.ProbeResult(**{"name": "platform", "state": "PROBE_STATE_OK", **fields})


MALFORMED_REPORTS: list[tuple[census_pb2.ReportRequest, str]] = [
    (report(report_id=b"short"), "report_id"),
    (report(agent_version=""), "agent_version"),
    (report(agent_version="v" * 65), "agent_version"),
    (report(inventory=b""), "inventory"),
    (report(scanned_at=Timestamp(seconds=-(2**62))), "scanned_at"),
    (report(scanned_at=Timestamp(seconds=2**62)), "scanned_at"),
    (report(scanned_at=Timestamp(nanos=-1)), "scanned_at"),
    (report(scan_duration=Duration(seconds=-1)), "scan_duration"),
    (report(scan_duration=Duration(nanos=10**9)), "scan_duration"),
    (report(scan_duration=Duration(seconds=10**9)), "scan_seconds"),
    (report(probes=[probe()] * 65), "probes"),
    (report(probes=[probe(name="")]), "probes.name"),
    (report(probes=[probe(state="PROBE_STATE_FAILED")]), "probes.reason"),
    (report(probes=[probe(state="PROBE_STATE_SKIPPED")]), "probes.reason"),
    (report(probes=[probe(duration=Duration(nanos=-1))]), "probes.duration"),
    (report(probes=[probe(duration=Duration(seconds=10**9))]), "probes.seconds"),
    (report(probes=[probe(skips=[census_pb2.SkipCount(reason="x")])]), "probes.skips.count"),
    (report(probes=[probe(skips=[census_pb2.SkipCount(count=1)])]), "probes.skips.reason"),
    (
        report(probes=[probe(skips=[census_pb2.SkipCount(reason="x", count=1, examples=["e"] * 6)])]),
        "probes.skips.examples",
    ),
    (
        report(probes=[probe(skips=[census_pb2.SkipCount(reason="x", count=1, examples=[""])])]),
        "probes.skips.examples",
    ),
]


def running(*groups: facts_pb2.ProcessGroup, digest: bytes | None = None) -> census_pb2.ReportRequest:
    """Return a report with these groups, and the digest that belongs to them unless another is given."""
    processes = facts_pb2.ProcessSet(groups=groups)
    right = hashlib.sha256(b"processes\0" + processes.SerializeToString(deterministic=True)).digest()
    return report(processes=processes, processes_digest=right if digest is None else digest)


EXAMPLES = [facts_pb2.ProcessExample(pid=pid) for pid in range(1, 7)]

MALFORMED_REPORTS += [
    (report(processes_digest=b"short"), "processes_digest"),
    (running(group(), digest=DIGEST), "processes_digest"),
    (running(digest=b""), "processes_digest"),
    (report(processes=facts_pb2.ProcessSet()), "processes_digest"),
    (running(group(root="srv")), "processes.groups.root"),
    (running(group(executable="python3")), "processes.groups.executable"),
    (running(group(install="python3")), "processes.groups.install"),
    (running(group(processes=0)), "processes.groups.processes"),
    (running(group(unread=4)), "processes.groups.unread"),
    (running(group(examples=EXAMPLES)), "processes.groups.examples"),
    (running(group(examples=[facts_pb2.ProcessExample()])), "processes.groups.examples.pid"),
    (running(group(libraries=[facts_pb2.MappedLibrary(path="/l")])), "processes.groups.libraries.processes"),
    (running(group(), group()), "processes.groups"),
]


def test_the_digest_of_a_process_set_covers_what_a_newer_agent_says_in_it() -> None:
    newer = facts_pb2.ProcessSet.FromString(b"\xfa\x3f\x05newer")
    digest = hashlib.sha256(b"processes\0" + newer.SerializeToString(deterministic=True)).digest()
    decoded = codec.report_from_proto(report(processes=newer, processes_digest=digest))
    assert decoded.processes == ProcessSet()
    assert decoded.processes_digest == digest.hex()


@given(processes=made.process_sets)
@settings(max_examples=60)
def test_kept_processes_come_back_the_same(processes: ProcessSet) -> None:
    assert codec.decode_process_set(codec.encode_process_set(processes)) == processes


def test_bytes_that_are_no_process_set_are_refused() -> None:
    with pytest.raises(InvalidFactError, match="payload"):
        codec.decode_process_set(b"\xff\xff\xff")
    with pytest.raises(InvalidFactError, match=r"processes\.groups\.root"):
        codec.decode_process_set(facts_pb2.ProcessSet(groups=[group(root="")]).SerializeToString())


@pytest.mark.parametrize(
    ("message", "field"),
    MALFORMED_REPORTS,
    ids=[f"{number}-{field}" for number, (_, field) in enumerate(MALFORMED_REPORTS)],
)
def test_a_malformed_report_is_refused_by_the_name_of_its_field(message: census_pb2.ReportRequest, field: str) -> None:
    with pytest.raises(InvalidFactError) as caught:
        codec.report_from_proto(message)
    assert caught.value.field == field


def test_the_examples_of_this_table_are_valid_before_they_are_damaged() -> None:
    codec.report_from_proto(report(probes=[probe()]))
    codec.decode_fact(FactKind.INVENTORY, inventory().SerializeToString())
    codec.decode_fact(FactKind.INSTALL_SET, facts_pb2.InstallSet(installs=[install()]).SerializeToString())
    codec.decode_fact(FactKind.BUILD, build(files=[file()]).SerializeToString())
    codec.package_from_proto(package())
    codec.decode_fact(FactKind.CRYPTO_COPY_SET, copies().SerializeToString())
    codec.decode_fact(FactKind.TOOL_SET, facts_pb2.ToolSet(tools=[tool()], settings=[setting()]).SerializeToString())
    codec.decode_fact(FactKind.ROOT_SET, roots().SerializeToString())
    codec.decode_fact(FactKind.CHANGELOG, changelog(fixes=[FIX]).SerializeToString())
    codec.report_from_proto(running(group(examples=EXAMPLES[:5])))


@pytest.mark.parametrize("kind", [kind for kind in FactKind if kind is not FactKind.UNKNOWN])
@given(junk=st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes_decode_to_a_fact_or_are_refused(kind: FactKind, junk: bytes) -> None:
    try:
        fact = codec.decode_fact(kind, junk)
    except InvalidFactError:
        return
    assert codec.encode_fact(fact)[0] is kind


@given(fact=made.facts, data=st.data())
@settings(max_examples=100)
def test_a_damaged_fact_decodes_to_a_fact_or_is_refused(fact: codec.Fact, data: st.DataObject) -> None:
    kind, _, payload = codec.encode_fact(fact)
    damaged = bytearray(payload or b"\0")
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(InvalidFactError):
        assert codec.encode_fact(codec.decode_fact(kind, cut))[0] is kind


def test_a_fact_of_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidFactError, match="kind: unknown is no kind of fact"):
        codec.decode_fact(FactKind.UNKNOWN, b"")


@pytest.mark.parametrize("raw", [b"", b"x" * 31, b"x" * 33], ids=len)
def test_a_digest_has_32_bytes(raw: bytes) -> None:
    with pytest.raises(InvalidFactError, match=f"missing: has {len(raw)} bytes"):
        codec.digest_from_proto(raw, "missing")


# --- a newer contract -------------------------------------------------------------------------------------------------

NEWER = 9999


def test_unknown_numbers_of_enumerations_are_unknown_and_harmless() -> None:
    message = facts_pb2.Install(
        root="/",
        path="/p",
        realpath="/p",
        kind=NEWER,  # type: ignore[arg-type]
        implementation=NEWER,  # type: ignore[arg-type]
        installer=NEWER,  # type: ignore[arg-type]
        crypto=facts_pb2.CryptoUse(linkage=NEWER, library=facts_pb2.CryptoLibrary(version="4.0")),  # type: ignore[arg-type]
        package=package(origin=NEWER),
        evidence=[facts_pb2.Evidence(subject="s", kind=NEWER, file="/f")],  # type: ignore[arg-type]
    )
    value = codec.install_from_proto(facts_pb2.Install.FromString(message.SerializeToString()))
    assert value.kind is InstallKind.UNKNOWN
    assert value.implementation is Implementation.UNKNOWN
    assert value.installer is Installer.UNKNOWN
    assert value.crypto == CryptoUse(linkage=Linkage.UNKNOWN)
    assert value.package is not None
    assert value.package.origin.value == "unknown"
    assert value.evidence[0].kind.value == "unknown"


def test_unknown_numbers_in_a_build_a_report_and_a_library_are_unknown() -> None:
    made_build = codec.build_from_proto(build(provider=NEWER, implementation=NEWER, files=[file(role=NEWER)]))
    assert (made_build.provider, made_build.implementation) == (Provider.UNKNOWN, Implementation.UNKNOWN)
    assert made_build.files[0].role is FileRole.UNKNOWN
    assert codec.report_from_proto(report(probes=[probe(state=NEWER)])).probes[0].state is ProbeState.UNKNOWN
    library = codec.crypto_library_from_proto(facts_pb2.CryptoLibrary(family=NEWER))  # type: ignore[arg-type]
    assert library.family is CryptoFamily.UNKNOWN
    assert codec.fact_kind_from_proto(NEWER) is FactKind.UNKNOWN
    assert codec.scanned_root_from_proto(facts_pb2.ScannedRoot(name="/", kind=NEWER)).kind is RootKind.UNKNOWN  # type: ignore[arg-type]
    assert codec.changelog_from_proto(changelog(state=NEWER)).state is ChangelogState.UNKNOWN
    decoded = codec.report_from_proto(running(group(state=NEWER)))
    assert decoded.processes is not None
    assert decoded.processes.groups[0].state is MappingState.UNKNOWN


@given(fact=made.facts)
@settings(max_examples=60)
def test_unknown_fields_are_ignored_in_the_value_and_kept_in_the_address(fact: codec.Fact) -> None:
    kind, digest, payload = codec.encode_fact(fact)
    newer = payload + b"\xfa\x3f\x05newer"  # field 1023, length-delimited
    assert codec.decode_fact(kind, newer) == fact
    assert fact_digest(kind, newer) != digest


@pytest.mark.parametrize("kind", [kind for kind in FactKind if kind is not FactKind.UNKNOWN])
def test_kinds_of_facts_have_a_number_each(kind: FactKind) -> None:
    assert codec.fact_kind_from_proto(codec.fact_kind_to_proto(kind)) is kind


def test_absent_parts_of_a_host_are_unknown() -> None:
    host = codec.host_from_proto(facts_pb2.Host(hostname="h"))
    assert host == Host(hostname="h")
    assert (host.os_release.id, host.libc.version, host.kernel) == (None, None, None)


def test_an_inventory_names_all_that_belongs_to_it() -> None:
    platform, installs_digest, one = "1" * 64, "2" * 64, "3" * 64
    value = Inventory(host=Host(hostname="h"), platform=platform, installs=installs_digest, builds=(one,))
    assert value.references == (platform, installs_digest, one)
    fuller = replace(value, crypto_copies="4" * 64, tools="5" * 64, roots="6" * 64, changelogs=("7" * 64,))
    assert set(fuller.references) == {str(number) * 64 for number in range(1, 8)}


def test_a_build_needs_what_its_files_need_and_does_not_bring() -> None:
    requirement = codec.requirement_from_proto(
        facts_pb2.Requirement(
            needs=[
                facts_pb2.LibraryNeed(soname="libc.so.6", versions=["GLIBC_2.17"]),
                facts_pb2.LibraryNeed(soname="libpython3.12.so.1.0", versions=["V"]),
            ],
            sonames=["libc.so.6", "libpython3.12.so.1.0"],
        )
    )
    executable = BuildFile("bin/python3", FileRole.EXECUTABLE, "0" * 64, 1, requirement=requirement)
    library = BuildFile("lib/libpython3.12.so.1.0", FileRole.LIBRARY, "1" * 64, 1, soname="libpython3.12.so.1.0")
    value = Build(Implementation.CPYTHON, "3.12.1", "x86_64", Provider.PBS, None, (), (executable, library))
    assert value.requirement().sonames == ("libc.so.6",)
    assert value.requirement().glibc == "2.17"
    assert value.requirement(FileRole.MODULE).sonames == ()
    assert Install.__slots__
    assert ProbeResult("p", ProbeState.OK, 0.5).seconds == 0.5
