"""What is fuzzed: one target per parser of files that others wrote, and where its first inputs come from.

A target may do one of two things with any bytes: end, or raise what its parser documents. It runs without the fuzzer
too, which is how findings are replayed as tests.
"""

from __future__ import annotations

import atexit
import gzip
import io
import lzma
import os
import shutil
import sysconfig
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.collector.speeds.documents import content as speed_content
from tests.collector.speeds.documents import interpreter

from fuzz import trust_readers
from fuzz.feed_readers import ALLOWED, FEED_READERS
from libcensus.agent.artefact import ArtefactSettings, read_artefact
from libcensus.agent.artefact.wheel import parse_name
from libcensus.agent.containers import identity_of, parse_mount_points
from libcensus.agent.elf.loader import (
    LibrarySearch,
    LoadedObject,
    default_directories,
    parse_loader_cache,
    parse_musl_path,
    system_directories,
)
from libcensus.agent.elf.reader import BytesSource, Elf, ElfType, read_elf
from libcensus.agent.elf.requirement import requirement_of
from libcensus.agent.elf.strings import CryptoScanner, crypto_in_file
from libcensus.agent.errors import ArtefactError, UnreadableError
from libcensus.agent.host import Root
from libcensus.agent.images.bolt import Bolt, Bucket
from libcensus.agent.interpreters.sysconfig import configure_arguments, parse_sysconfig
from libcensus.agent.interpreters.version import parse_build_details, parse_patchlevel, version_texts
from libcensus.agent.packages.apk import parse_apk_installed
from libcensus.agent.packages.changelog import (
    fixes_of,
    from_version,
    judge_completeness,
    parse_debian_changelog,
    parse_rpm_changelog,
    unpack_changelog,
)
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.packages.dpkg import parse_paragraph
from libcensus.agent.packages.pacman import package_of_fields, parse_pacman_fields, parse_pacman_files
from libcensus.agent.packages.rpm import package_of_header
from libcensus.agent.packages.rpm_bdb import RpmBerkeley
from libcensus.agent.packages.rpm_header import parse_rpm_header
from libcensus.agent.packages.rpm_ndb import RpmNdb
from libcensus.agent.packages.rpm_sqlite import RpmSqlite
from libcensus.agent.probes.platform import parse_cpu_level, parse_glibc_banner, parse_musl_banner, parse_os_release
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.venvs import parse_pyvenv, recorded_version
from libcensus.agent.proc import cgroup_paths, parse_maps, parse_stat
from libcensus.agent.uv import read_settings, read_uv
from libcensus.agent.walk import judge_mount, parse_mountinfo
from libcensus.agent.wheels import read_bill, read_metadata, record_names
from libcensus.agent.zstandard import decompress_frame
from libcensus.collector.config import CollectorSettings
from libcensus.collector.errors import CollectorError
from libcensus.collector.pki.audit import AuditLog
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.enrollment import Enrollment
from libcensus.collector.pki.tokens import make_token
from libcensus.collector.posture.speed import fleet_ratios
from libcensus.collector.process_metrics import CollectorMetrics
from libcensus.collector.service.census import check_fact, parse_message
from libcensus.collector.service.enrollment import EnrollmentServicer
from libcensus.collector.service.errors import CallError
from libcensus.collector.service.limits import AttemptLimit
from libcensus.collector.service.shape import check_shape
from libcensus.collector.speeds.document import SpeedFormatError, read_speed
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import (
    decode_fact,
    digest_to_proto,
    encode_fact,
    fact_kind_to_proto,
    process_set_digest,
    report_from_proto,
    report_to_proto,
)
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.process import ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.report import AgentState, ProbeResult, Report, SkipCount
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import (
    CryptoFamily,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    MappingState,
    ProbeState,
    Provider,
)
from libcensus.v1 import census_pb2, enrollment_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from libcensus.agent.packages.blobs import BlobReader

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"

SEED_BYTES = 64 << 10
"""Larger files of this machine are cut: the fuzzer learns more from many small inputs."""

UNPACKED_BYTES = 1 << 20
BLOBS = 200
WANTED = {b"usr/bin/bash": "/usr/bin/bash", b"usr/lib/libssl.so.3": "/usr/lib/libssl.so.3"}
"""Files whose owner is asked for."""

OWNED = ("/usr/bin/bash", "/bin/bash", "/usr/lib/libssl.so.3", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3")


@dataclass(frozen=True, slots=True)
class Target:
    """One parser: what it is fed to, and the first inputs. ``allowed`` is what it may raise."""

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    allowed: tuple[type[Exception], ...] = (UnreadableError,)

    def feed(self, data: bytes) -> None:
        """Let the parser read; raises nothing but what is a finding."""
        with suppress(*self.allowed):
            self.run(data)


def _text(data: bytes) -> str:
    """Return bytes as the agent decodes every text."""
    return data.decode("utf-8", "backslashreplace")


# --- ELF --------------------------------------------------------------------------------------------------------------


def _run_elf(data: bytes) -> None:
    elf = read_elf(BytesSource(data))
    requirement_of(elf, file="file")
    if elf.symbols is not None:
        elf.symbols.defines("SSL_new")


def _run_loader_paths(data: bytes) -> None:
    """Search libraries as the loader does for a file whose needs and search paths are the input's lines."""
    lines = [*_text(data).split("\n"), "", "", ""]
    rpath, runpath, origin = lines[:3]
    elf = Elf(64, True, ElfType.DYN, 62, "x86_64", needed=tuple(lines[3:40]), rpath=rpath, runpath=runpath)
    files = dict.fromkeys(("/lib/liba.so", "/opt/lib/glibc-hwcaps/x86-64-v3/libb.so", f"{origin}/libc.so"), elf)
    for search in (
        LibrarySearch(files.get, "x86_64", default_directories("x86_64", 64), hwcaps=("x86-64-v3",)),
        LibrarySearch.for_musl(files.get, "x86_64", runpath),
    ):
        search.load([LoadedObject(f"/{origin}/program", elf)])
    parse_musl_path(rpath)


def _run_loader_cache(data: bytes) -> None:
    cache = parse_loader_cache(data)
    for arch in ("x86_64", "aarch64", "mips64"):
        for soname in islice(cache.sonames(arch), 20):
            cache.paths(soname, arch, ("x86-64-v3",))


def _run_crypto(data: bytes) -> None:
    half = len(data) // 2
    scanner = CryptoScanner()
    scanner.feed(data[:half])
    scanner.feed(data[half:])
    crypto_in_file(scanner.result(), None)


# --- package databases ------------------------------------------------------------------------------------------------


def _run_blobs(form: Callable[[BytesSource], BlobReader], data: bytes) -> None:
    reader = form(BytesSource(data))
    for place in islice(reader.places(), BLOBS):
        try:
            blob = reader.blob(place)
        except UnreadableError:
            continue
        with suppress(UnreadableError, InvalidFactError):
            _run_rpm_header(blob)


def _run_rpm_header(data: bytes) -> None:
    header = parse_rpm_header(data)
    header.owned({b"/usr/bin/": {b"bash": "/usr/bin/bash"}})
    header.folders()
    package_of_header(header, ("fedora",))
    changelog = parse_rpm_changelog("rpm", header.numbers(1080), header.raw_strings(1081), header.raw_strings(1082))
    fixes_of(changelog.entries, header.text(1001))
    judge_completeness(changelog, has_notices=False)


def _run_apk(data: bytes) -> None:
    for record in parse_apk_installed(iter(data.split(b"\n")), WANTED):
        record.fields.get("P")


def _run_pacman(data: bytes) -> None:
    parse_pacman_files(data)
    package_of_fields(parse_pacman_fields(_text(data)), ("arch",))


def _run_changelog(data: bytes) -> None:
    changelog = parse_debian_changelog(_text(data), "/usr/share/doc/a/changelog.Debian.gz")
    for entry in changelog.entries[:1]:
        from_version(changelog, entry.version or "")
        fixes_of(changelog.entries, entry.version or "")
    judge_completeness(changelog, has_notices=True)


DATABASES = (
    "var/lib/dpkg/status",
    "var/lib/dpkg/info/bash.list",
    "var/lib/dpkg/diversions",
    "var/lib/dpkg/status.d/bash",
    "var/lib/apt/lists/a_dists_b_InRelease",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "lib/apk/db/installed",
    "etc/apk/repositories",
    "var/lib/pacman/local/bash-5-1/desc",
    "var/lib/pacman/local/bash-5-1/files",
)


class _Rooted:
    """A root whose database is the input; made once, and removed with the process."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __call__(self, data: bytes) -> None:
        """Ask every package manager for owners; nothing may be raised, whatever the database holds."""
        if self._folder is None:
            # In memory where that is possible: thousands of these files are written in a minute.
            memory = Path("/dev/shm")  # noqa: S108 - the folder below it is made safely
            self._folder = tempfile.TemporaryDirectory(
                prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None
            )
        top = Path(self._folder.name) / "root"
        shutil.rmtree(top, ignore_errors=True)
        (top / "usr/bin").mkdir(parents=True)
        (top / "usr/bin/bash").write_bytes(b"")
        place = DATABASES[data[0] % len(DATABASES)] if data else DATABASES[0]
        for file, content in ((DATABASES[0], b"Package: bash\nStatus: install ok installed\n"), (place, data[1:])):
            if file == place or place.startswith("var/lib/dpkg/"):
                (top / file).parent.mkdir(parents=True, exist_ok=True)
                (top / file).write_bytes(content)
        with Root.open(str(top)) as root:
            database = PackageDatabase(root, Skips(), ("debian",))
            owners = database.owners(OWNED)
            database.recorded_changelogs(owners.values())


# --- texts ------------------------------------------------------------------------------------------------------------


def _run_zstandard(data: bytes) -> None:
    for block in decompress_frame(data, limit=UNPACKED_BYTES):
        len(block)


def _run_mounts(data: bytes) -> None:
    text = _text(data)
    for mount in parse_mountinfo(text):
        judge_mount(mount, ())
    list(parse_mount_points(text))


def _run_proc(data: bytes) -> None:
    list(parse_maps(data.split(b"\n")))
    text = _text(data)
    parse_stat(text)
    cgroup_paths(text)
    identity_of(text)


def _run_sysconfig(data: bytes) -> None:
    values = parse_sysconfig(_text(data))
    if values is not None:
        configure_arguments(values)


def _run_pyvenv(data: bytes) -> None:
    recorded_version(parse_pyvenv(_text(data)))


def _run_headers(data: bytes) -> None:
    text = _text(data)
    parse_patchlevel(text)
    parse_build_details(text)
    parse_os_release(text)
    parse_cpu_level(text)
    parse_paragraph(text)
    parse_glibc_banner(data)
    parse_musl_banner(data)
    system_directories(data)
    version_texts(BytesSource(data), "3.12")


def _run_uv(data: bytes) -> None:
    read_uv(BytesSource(data))


def _run_uv_settings(data: bytes) -> None:
    for is_project in (False, True):
        try:
            read_settings(data, is_project=is_project)
        except UnreadableError:
            continue


def _run_wheel(data: bytes) -> None:
    text = _text(data)
    read_metadata(text)
    record_names(text, frozenset(("a.libs/libssl.so.3", "b.so")))
    read_bill(data)


def _run_artefact(data: bytes) -> None:
    """Read a file of these bytes, whatever it turns out to be, within small bounds."""
    descriptor = os.memfd_create("artefact")
    try:
        os.write(descriptor, data)
        bounds = ArtefactSettings(max_members=1000, max_bytes=8 << 20, max_member_bytes=1 << 20, modest_bytes=1 << 20)
        read_artefact(f"/proc/self/fd/{descriptor}", bounds)
    finally:
        os.close(descriptor)


def _run_wheel_archive(data: bytes) -> None:
    """Read a wheel whose name, WHEEL, METADATA, RECORD and variant.json are the input's pieces."""
    name, *texts = [*data.split(b"\0"), b"", b"", b"", b"", b""][:5]
    with suppress(ArtefactError):
        parse_name(_text(name))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for place, text in zip(("WHEEL", "METADATA", "RECORD", "variant.json"), texts, strict=True):
            archive.writestr(f"a-1.dist-info/{place}", text)
    _run_artefact(stream.getvalue())


def _run_bolt(data: bytes) -> None:
    database = Bolt(BytesSource(data))
    _walk_bucket(database.root)


def _walk_bucket(bucket: Bucket, depth: int = 0) -> None:
    bucket.get(b"v1")
    for key, _ in islice(bucket.values(), BLOBS):
        bucket.get(key)
    for key, inner in islice(bucket.buckets(), BLOBS):
        bucket.bucket(key)
        if depth < 8:
            _walk_bucket(inner, depth + 1)


# --- first inputs -----------------------------------------------------------------------------------------------------


def _files(*paths: Path, most: int = 40) -> Iterator[bytes]:
    """Yield the starts of files that are there and may be read."""
    for path in islice((path for path in paths if path.is_file()), most):
        try:
            with path.open("rb") as file:
                yield file.read(SEED_BYTES)
        except OSError:
            continue


def _packed(name: str) -> Iterator[bytes]:
    path = FIXTURES / "packages" / f"{name}.xz"
    if path.is_file():
        yield lzma.decompress(path.read_bytes())


def _elf_seeds() -> Iterator[bytes]:
    yield from _files(*sorted((FIXTURES / "elf").rglob("*")), most=100)


def _header_seeds() -> Iterator[bytes]:
    for data in _packed("rpmdb.sqlite"):
        reader = RpmSqlite(BytesSource(data))
        yield from (reader.blob(place) for place in islice(reader.places(), 20))


def _changelog_seeds() -> Iterator[bytes]:
    for packed in _files(*sorted(Path("/usr/share/doc").glob("*/changelog.Debian.gz"))):
        try:
            yield gzip.decompress(packed)[: SEED_BYTES // 16]
        except (OSError, EOFError):
            continue
    yield b"openssl (3.0.2-0ubuntu1.20) jammy; urgency=medium\n\n  * CVE-2025-1: fix\n\n -- A <a@b>  Mon, 1 Jan\n"


def _bolt_seeds() -> Iterator[bytes]:
    path = FIXTURES / "images" / "containerd.tar.xz"
    if path.is_file():
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".db") and (file := archive.extractfile(member)) is not None:
                    yield file.read()


def _artefact_seeds() -> Iterator[bytes]:
    program = next(iter(_files(FIXTURES / "elf" / "x86_64-linux-gnu" / "program")))
    for mode in ("w", "w:gz", "w:xz"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            info = tarfile.TarInfo("python/bin/python3.12")
            info.size = len(program)
            archive.addfile(info, io.BytesIO(program))
            archive.addfile(tarfile.TarInfo("empty"))
        yield stream.getvalue()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr("a/b.so", program)
            archive.writestr("a-1.dist-info/WHEEL", "Tag: py3-none-any\n")
            archive.writestr("a-1.dist-info/METADATA", "Name: a\nRequires-Python: >=3.9\n")
            archive.writestr("a-1.dist-info/RECORD", "a/b.so,,\na-1.dist-info/WHEEL,,\na-1.dist-info/METADATA,,\n")
        yield stream.getvalue()
    yield from _elf_seeds()


def _root_seeds() -> Iterator[bytes]:
    real = {5: "rpmdb.sqlite", 6: "Packages.db", 7: "Packages"}
    for number, place in enumerate(DATABASES):
        for data in _packed(real[number]) if number in real else _files(Path("/") / place):
            yield bytes([number]) + data
    yield bytes([8]) + _APK
    yield bytes([1]) + b"/.\n/usr/bin\n/usr/bin/bash\n"
    yield bytes([2]) + b"/bin/sh\n/bin/sh.distrib\ndash\n"


_APK = b"C:Q1a\nP:bash\nV:5.2-r0\nA:x86_64\no:bash\nF:usr/bin\nR:bash\na:0:0:755\n\n"
_CFG = b"home = /usr/bin\nversion_info = 3.12.6.final.0\nuv = 0.4\ninclude-system-site-packages = false\n"
_DESC = b"%NAME%\nbash\n\n%VERSION%\n5-1\n\n%FILES%\nusr/\nusr/bin/bash\n"
_TOML = b'[tool.uv]\npython-downloads = "never"\npython-preference = "only-system"\n'
_BILL = b'{"components": [{"name": "openssl", "version": "3.5.4", "purl": "pkg:generic/openssl@3.5.4"}]}'
_WHEEL = (
    b"a-1-py2.py3-none-any.whl\0Wheel-Version: 1.0\nTag: py3-none-any\n\0Name: a\nRequires-Python: >=3\n\0"
    b"a-1.dist-info/WHEEL,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\na-1.dist-info/RECORD,,\n\0"
    b'{"variants": {"x": {"x86_64": {"level": ["v3"]}}}}'
)
_STDLIB = Path(sysconfig.get_path("stdlib"))
_ZSTANDARD = bytes.fromhex("28b52ffd045819000068690a8b5e2f7d")


def _rpm_target(name: str, form: Callable[[BytesSource], BlobReader], *fixtures: str) -> Target:
    return Target(
        name, lambda data: _run_blobs(form, data), lambda: (data for one in fixtures for data in _packed(one))
    )


# --- the wire ---------------------------------------------------------------------------------------------------------


def _run_report(data: bytes) -> None:
    """Read a report as the collector does, and write what was understood: it must come back the same."""
    check_shape(census_pb2.ReportRequest.DESCRIPTOR, data)
    report = report_from_proto(parse_message(census_pb2.ReportRequest, data))
    if report_from_proto(report_to_proto(report)) != report:
        raise AssertionError("a report does not come back from its own encoding")


def _run_upload(data: bytes) -> None:
    record, fact = check_fact(data)
    if decode_fact(record.kind, record.payload) != fact:
        raise AssertionError("a fact is not what is stored of it")


def _run_fact(data: bytes) -> None:
    """Read a payload of the kind that the first byte names, with the digest that it really has."""
    kinds = [kind for kind in FactKind if kind is not FactKind.UNKNOWN]
    kind, payload = kinds[data[0] % len(kinds)] if data else kinds[0], data[1:]
    _run_upload(
        census_pb2.UploadFactsRequest(
            kind=fact_kind_to_proto(kind), digest=digest_to_proto(fact_digest(kind, payload)), payload=payload
        ).SerializeToString()
    )


class _Enrollment:
    """The enrollment service over an authority and a store with one token, made once; it may only refuse."""

    def __init__(self) -> None:
        self._made: tuple[EnrollmentServicer, str] | None = None

    def __call__(self, data: bytes) -> None:
        """Feed one method, which the first byte names."""
        servicer, _ = self._make()
        methods = (servicer.enroll, servicer.renew, servicer.challenge)
        caller: Any = _Caller()
        methods[data[0] % len(methods) if data else 0](data[1:], caller)

    @property
    def token(self) -> str:
        """The token that is good."""
        return self._make()[1]

    def _make(self) -> tuple[EnrollmentServicer, str]:
        if self._made is None:
            folder = tempfile.mkdtemp(prefix="fuzz-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            authority = Authority.init(Path(folder) / "pki", "libcensus", _now())
            store = SqlStore.open(f"sqlite:///{folder}/fuzz.db")
            atexit.register(store.close)
            kept, token = make_token(_now(), timedelta(days=1), uses=1_000_000)
            store.put_token(kept)
            enrollment = Enrollment(store, lambda: authority, CollectorSettings(), AuditLog(None, _now), _now)
            never = AttemptLimit(burst=1e9, rate=1e9, burst_of_all=1e9, rate_of_all=1e9)
            metrics = CollectorMetrics("0", lambda: 0, lambda: 0, 0.0)
            self._made = (EnrollmentServicer(enrollment, metrics, never), token)
        return self._made


class _Caller:
    """As much of a call as the enrollment service looks at."""

    def peer(self) -> str:
        """Return an address."""
        return "ipv4:192.0.2.7:41234"


def _now() -> datetime:
    return datetime.now(UTC)


_ENROLLMENT = _Enrollment()


def _report_seeds() -> Iterator[bytes]:
    report = Report(
        bytes(16),
        "0.1.0",
        datetime(2026, 1, 1, tzinfo=UTC),
        1.5,
        "ab" * 32,
        (ProbeResult("walk", ProbeState.FAILED, 0.5, "denied", (SkipCount("unreadable", 3, ("/a",)),)),),
        agent_state=AgentState(3, 2, 1),
    )
    processes = ProcessSet(
        (ProcessGroup("/", "/usr/bin/python3", MappingState.CURRENT, 2, examples=(ProcessExample(7),)),)
    )
    for one in (report, replace(report, processes=processes, processes_digest=process_set_digest(processes))):
        yield report_to_proto(one).SerializeToString()


def _fact_seeds() -> Iterator[tuple[FactKind, bytes]]:
    file = BuildFile("bin/python3", FileRole.EXECUTABLE, "cd" * 32, 1000)
    build = Build(Implementation.CPYTHON, "3.12.1", "x86_64", Provider.SOURCE, None, ("lto",), (file,))
    digest = encode_fact(build)[1]
    use = CryptoUse(Linkage.STATIC, "/opt/bin/python3", CryptoLibrary(CryptoFamily.OPENSSL, "3.0.14"))
    install = Install(
        "/",
        "/opt/bin/python3",
        "/opt/bin/python3",
        InstallKind.BASE,
        Implementation.CPYTHON,
        Installer.UNKNOWN,
        digest,
        use,
    )
    platform = Platform(arch="x86_64", kernel="6.1", libc_version="2.36")
    installs = InstallSet((install,))
    inventory = Inventory(Host("h"), encode_fact(platform)[1], encode_fact(installs)[1], (digest,))
    for fact in (build, platform, installs, inventory):
        kind, _, payload = encode_fact(fact)
        yield kind, payload


def _upload_seeds() -> Iterator[bytes]:
    for kind, payload in _fact_seeds():
        yield census_pb2.UploadFactsRequest(
            kind=fact_kind_to_proto(kind), digest=digest_to_proto(fact_digest(kind, payload)), payload=payload
        ).SerializeToString()


def _payload_seeds() -> Iterator[bytes]:
    kinds: list[FactKind] = [kind for kind in FactKind if kind is not FactKind.UNKNOWN]
    for kind, payload in _fact_seeds():
        yield bytes([kinds.index(kind)]) + payload


def _enrollment_seeds() -> Iterator[bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.DER)
    yield (
        b"\0"
        + enrollment_pb2.EnrollRequest(
            token=_ENROLLMENT.token,
            certificate_signing_request=request,
            machine_id_hash="ab" * 16,
            hostname="h",
        ).SerializeToString()
    )
    yield (
        b"\1"
        + enrollment_pb2.RenewRequest(
            certificate_signing_request=request, certificate_chain=[request], challenge=bytes(32), signature=bytes(70)
        ).SerializeToString()
    )
    yield b"\2" + enrollment_pb2.ChallengeRequest().SerializeToString()


_WIRE = (InvalidFactError, CallError)

TARGETS = (
    Target("wire-report", _run_report, _report_seeds, allowed=_WIRE),
    Target("wire-upload", _run_upload, _upload_seeds, allowed=_WIRE),
    Target("wire-fact", _run_fact, _payload_seeds, allowed=_WIRE),
    Target("wire-enrollment", _ENROLLMENT, _enrollment_seeds, allowed=(CollectorError,)),
    Target("elf", _run_elf, _elf_seeds),
    Target("loader-cache", _run_loader_cache, lambda: _files(Path("/etc/ld.so.cache"))),
    Target(
        "loader-paths",
        _run_loader_paths,
        lambda: (b"$ORIGIN/../lib:/opt/lib\n${LIB}:$PLATFORM\nopt/a\nliba.so\n$ORIGIN/libb.so\nlibc.so",),
    ),
    Target("crypto", _run_crypto, lambda: (b'OpenSSL 3.0.13 30 Jan 2024\0OPENSSLDIR: "/usr/lib/ssl"\0', *_elf_seeds())),
    # A record that makes no valid fact is the caller's to count.
    Target("rpm-header", _run_rpm_header, _header_seeds, allowed=(UnreadableError, InvalidFactError)),
    _rpm_target("rpm-sqlite", RpmSqlite, "rpmdb.sqlite"),
    _rpm_target("rpm-ndb", RpmNdb, "Packages.db"),
    _rpm_target("rpm-berkeley", RpmBerkeley, "Packages", "Packages.big-endian"),
    Target("apk", _run_apk, lambda: (_APK,)),
    Target("pacman", _run_pacman, lambda: (_DESC,), allowed=(UnreadableError, InvalidFactError)),
    Target("package-root", _Rooted(), _root_seeds, allowed=()),
    Target("changelog", _run_changelog, _changelog_seeds),
    Target(
        "changelog-packed",
        lambda data: unpack_changelog(data, UNPACKED_BYTES),
        lambda: (gzip.compress(b"a (1) b; c\n"),),
    ),
    Target("zstandard", _run_zstandard, lambda: (_ZSTANDARD,)),
    Target("mounts", _run_mounts, lambda: _files(Path("/proc/self/mountinfo"))),
    Target("proc", _run_proc, lambda: _files(*(Path("/proc/self") / name for name in ("maps", "stat", "cgroup")))),
    Target("sysconfig", _run_sysconfig, lambda: _files(*sorted(_STDLIB.glob("_sysconfigdata*.py")))),
    Target("pyvenv", _run_pyvenv, lambda: (_CFG,)),
    Target(
        "speed",
        lambda data: list(fleet_ratios([read_speed(data)])),
        lambda: (speed_content(), speed_content(interpreter(), interpreter("/pbs", "b" * 64, "pbs"))),
        allowed=(SpeedFormatError,),
    ),
    Target(
        "headers",
        _run_headers,
        lambda: _files(
            Path("/etc/os-release"), Path(sysconfig.get_path("include")) / "patchlevel.h", Path("/proc/cpuinfo")
        ),
    ),
    Target("uv", _run_uv, lambda: (b"cpython-3.12.6+20240909-x86_64-unknown-linux-gnu\0" + _ZSTANDARD,)),
    Target("uv-settings", _run_uv_settings, lambda: (_TOML,)),
    Target("wheel", _run_wheel, lambda: (b"Name: a\nVersion: 1\n", b"a.libs/libssl.so.3,sha256=x,1\n", _BILL)),
    Target("artefact", _run_artefact, _artefact_seeds, allowed=(ArtefactError,)),
    Target("wheel-archive", _run_wheel_archive, lambda: (_WHEEL,), allowed=(ArtefactError,)),
    Target("bolt", _run_bolt, _bolt_seeds),
    *(
        Target(f"feed-{name}", run, lambda seed=seed: (seed,), allowed=ALLOWED)  # type: ignore[misc]
        for name, (run, seed) in FEED_READERS.items()
    ),
    *(
        Target(f"trust-{name}", run, seeds, allowed=trust_readers.ALLOWED)
        for name, (run, seeds) in trust_readers.TRUST_READERS.items()
    ),
)
