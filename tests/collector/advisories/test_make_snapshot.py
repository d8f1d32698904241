"""The script that makes the snapshot, on a small folder of the shape that it reads."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.advisories.snapshot import catalogue_of
from libcensus.collector.posture.finding import Component

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "make_snapshot.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the script as a module that writes below a temporary folder."""
    spec = importlib.util.spec_from_file_location("make_snapshot", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TARGET", tmp_path / "data")
    return module


def _about(**content: object) -> dict[str, Any]:
    return {"_about": {"sources": ["a source @ 0123 (2026-01-02)"]}, **content}


def _advisory(name: str, published: str, source: str, *affected: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "published": published, "severity": "high", "affected": list(affected), "source": source}


def _content() -> dict[str, dict[str, Any]]:
    support = {"3.12": {"release": "2023-10-02", "eol": "2028-10-31"}, "2.7": {"eol": True}}
    products = [
        "nodejs",
        "ruby",
        "perl",
        "php",
        "debian",
        "ubuntu",
        "rhel",
        "rocky-linux",
        "almalinux",
        "centos",
        "centos-stream",
        "fedora",
        "alpine-linux",
        "sles",
        "amazon-linux",
        "oracle-linux",
    ]
    return {
        "openssl_advisories": _about(
            advisories=[
                _advisory(
                    "CVE-2026-2",
                    "2026-03-04",
                    "upstream CHANGES (Debian package)",
                    {"branch": "3.5", "introduced": "3.5.0", "fixed": "3.5.2", "introduced_assumed": True},
                ),
                _advisory(
                    "CVE-2026-1",
                    "2026-02-03",
                    "secjson",
                    {"branch": "3.5", "introduced": "3.5.1", "fixed": "3.5.1"},
                    {"branch": "1.1.1", "introduced": "1.1.1", "fixed": "1.1.1zz", "fixed_premium_only": True},
                    {"branch": "0.9.6", "introduced": "0.9.6", "fixed": "0.9.6-cvs"},
                ),
                _advisory(
                    "CVE-2007-1", "2007-01-01", "secjson", {"branch": None, "introduced": "fips-1", "fixed": "fips-2"}
                ),
            ]
        ),
        "openssl_releases": _about(
            releases=[
                {"version": "3.5.1", "branch": "3.5", "date": "2026-02-03"},
                {"version": "3.5.2", "branch": "3.5", "date": "2026-03-04", "date_inferred": True},
            ],
            branches={"3.5": {"release": "2025-04-08", "eol": "2030-04-08", "lts": True}},
        ),
        "backports": _about(
            debian_history=[{"suite": "trixie", "version": "3.5.1-1", "date": "2026-02-10"}],
            naive_false_positives=[{"remaining": {"not affected: Windows only": ["CVE-2026-2"]}}],
            debian={"trixie": {"version": "3.5.1-2", "version_date": "2026-03-05", "fixed": {"CVE-2026-1": "3.5.1-1"}}},
            ubuntu={
                "26.04": {
                    "source": "openssl",
                    "newest_notice": {"version": "3.5.1-1ubuntu1", "date": "2026-03-05"},
                    "fixed": {"CVE-2026-1": "3.5.1-1ubuntu1"},
                }
            },
            rhel_compatible={
                "10": {
                    "source": "openssl",
                    "newest_erratum": {"version": "1:3.5.1-1.el10.alma.1", "date": "2026-03-06"},
                    "fixed": {"CVE-2026-1": "1:3.5.1-1.el10.alma.1"},
                }
            },
        ),
        "cpython_advisories": _about(
            advisories=[
                {"id": "PSF-1", "cve": "CVE-2026-3", "published": None, "severity": None, "fixed": {}, "source": "s"}
            ],
            release_dates={"3.12.1": "2026-01-05"},
            debian={
                "trixie": {"source": "python3.13", "version": "3.13.5-2", "date": "2026-03-05", "fixed": {}},
                "sid": {"source": "python3.14", "version": "3.14.1-1", "date": "2026-03-05", "fixed": {}},
            },
        ),
        "glibc_advisories": _about(
            advisories=[{"id": "GLIBC-SA-1", "published": "2026-01-01", "fixed": "2.43", "source": "advisories"}],
            debian={"trixie": {"version": "2.41-12", "date": "2026-03-05", "fixed": {"CVE-2026-4": "2.41-12"}}},
        ),
        "nodejs_advisories": _about(
            advisories=[
                {
                    "id": "CVE-2026-5",
                    "published": "2026-02-20",
                    "severity": "high",
                    "ranges": [{"branch": "24", "introduced": "24.0.0", "assumed": True, "fixed": "24.1.0"}],
                    "source": "a database",
                },
                {
                    "id": "CVE-2022-32222",
                    "ranges": [
                        {"branch": "18", "introduced": "18.0.0", "fixed": "18.9.1"},
                        {"branch": "16", "introduced": "16.0.0", "fixed": "16.20.0"},
                    ],
                    "source": "a database",
                },
                {"id": "CVE-2024-37372", "ranges": [{"branch": "24", "introduced": "24.0.0"}], "source": "a database"},
                {"id": "CVE-2026-1", "ranges": [{"branch": "24", "introduced": "24.0.0"}], "source": "of OpenSSL"},
            ],
            releases={"18.9.1": "2022-09-23", "24.1.0": "2026-02-20"},
        ),
        "eol": _about(
            python=support, openssl={}, _file_updated={"python": "2026-02-02"}, **dict.fromkeys(products, support)
        ),
        "pbs_builds": _about(
            tags=[
                {
                    "tag": "20260320",
                    "commit_date": "2026-03-20",
                    "cpython": {"3.12": "3.12.2"},
                    "linux_openssl": "3.5.2",
                },
                {
                    "tag": "20250323",
                    "commit_date": "2026-03-23",
                    "tag_name_wrong": "order by date",
                    "cpython": {"3.12": "3.12.2"},
                    "linux_openssl": "3.5.2",
                },
                {"tag": "20260401", "commit_date": None, "cpython_seen": ["3.12.3"], "linux_openssl": None},
            ],
            uv=[{"uv": "0.1.0", "date": "2026-03-21", "newest_pbs": "20260320"}],
        ),
        "distro_glibc": _about(
            rows=[{"release": "debian-13", "glibc": "2.41", "glibc_source": "image measurement", "openssl": None}]
        ),
    }


def _write(folder: Path, content: dict[str, dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, table in content.items():
        (folder / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def _run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["make_snapshot.py", *arguments])
    return int(script.main())


def test_what_it_writes_loads_and_the_same_input_gives_the_same_bytes(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _write(tmp_path / "facts", _content())
    assert _run(script, monkeypatch, str(folder)) == 0
    data = tmp_path / "data"
    first = {path.name: path.read_bytes() for path in data.iterdir()}
    assert len(first) == 9
    assert _run(script, monkeypatch, "--check", str(folder)) == 0
    assert _run(script, monkeypatch, str(folder)) == 0
    assert {path.name: path.read_bytes() for path in data.iterdir()} == first
    (data / "pbs.json").write_text("{}", encoding="utf-8")
    (data / "stray.json").write_text("{}", encoding="utf-8")
    capsys.readouterr()
    assert _run(script, monkeypatch, "--check", str(folder)) == 1
    assert capsys.readouterr().out.splitlines() == ["differs: pbs.json", "differs: stray.json"]
    assert _run(script, monkeypatch, str(folder)) == 0
    assert {path.name: path.read_bytes() for path in data.iterdir()} == first

    catalogue = catalogue_of({path.stem: json.loads(path.read_text(encoding="utf-8")) for path in data.iterdir()})
    assert catalogue.snapshot_date.isoformat() == "2026-04-01"
    assert [item.id for item in catalogue.advisories] == [
        *("CVE-2026-1", "CVE-2026-2", "GLIBC-SA-1"),
        *("CVE-2026-5", "CVE-2022-32222"),
    ]
    one, two, _, _, corrected = catalogue.advisories
    assert [item.branch for item in corrected.ranges] == ["18"]
    table = json.loads((data / "nodejs.json").read_text(encoding="utf-8"))
    assert [(row["id"], row.get("windows_only"), row.get("corrected")) for row in table["advisories"]] == [
        ("CVE-2026-5", None, None),
        ("CVE-2022-32222", None, True),
        ("CVE-2024-37372", True, None),
    ]
    assert [(r.branch, r.introduced, r.fixed, r.introduced_assumed) for r in one.ranges] == [
        ("3.5", "3.5.0", "3.5.1", True),
        ("1.1.1", "1.1.1", "1.1.1zz", False),
        ("0.9.6", "0.9.6", None, False),
    ]
    assert one.premium_only_fixes == {"1.1.1zz"}
    assert (one.windows_only, two.windows_only) == (False, True)
    assert [build.tag for build in catalogue.pbs_builds] == ["20260320", "20250323", "20260401"]
    assert catalogue.pbs_builds[-1].cpython == {"3.12": "3.12.3"}
    assert catalogue.branches[Component.CPYTHON]["2.7"].ended is True


def test_what_is_known_of_nodejs_stays_where_the_folder_has_nothing_about_it(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _write(tmp_path / "facts", _content())
    assert _run(script, monkeypatch, str(folder)) == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    (folder / "nodejs_advisories.json").unlink()
    assert _run(script, monkeypatch, "--check", str(folder)) == 0
    assert _run(script, monkeypatch, str(folder)) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == first
    (tmp_path / "data" / "nodejs.json").unlink()
    assert _run(script, monkeypatch, str(folder)) == 2
    assert "nodejs.json" in capsys.readouterr().err


def test_what_is_written_by_hand_stays_as_it_is(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = _write(tmp_path / "facts", _content())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quirks.json").write_text("by hand", encoding="utf-8")
    assert _run(script, monkeypatch, str(folder)) == 0
    assert _run(script, monkeypatch, "--check", str(folder)) == 0
    assert (tmp_path / "data" / "quirks.json").read_text(encoding="utf-8") == "by hand"


@pytest.mark.parametrize("broken", ["missing", "not json", "no about", "no rows", "never released"])
def test_input_of_another_shape_is_refused(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    content = _content()
    folder = _write(tmp_path / "facts", content)
    target = folder / "openssl_advisories.json"
    if broken == "missing":
        target.unlink()
    elif broken == "not json":
        target.write_text("{", encoding="utf-8")
    elif broken == "no about":
        target.write_text("{}", encoding="utf-8")
    elif broken == "no rows":
        target.write_text(json.dumps({"_about": {}}), encoding="utf-8")
    else:
        content["openssl_advisories"]["advisories"][0]["affected"][0]["fixed"] = "3.5.99"
        _write(folder, content)
    assert _run(script, monkeypatch, str(folder)) == 2
    assert "cannot make the snapshot" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
