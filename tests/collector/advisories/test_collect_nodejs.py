"""The script that collects what Node.js's repositories tell, on two small ones of their shapes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.collector.advisories import feed_samples as samples

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "collect_nodejs.py"

ENTRIES = {
    "1": samples.node_entry(
        ("CVE-2026-99010",),
        "22.x || 24.x",
        "^22.5.1 || ^24.2.1",
        "https://nodejs.org/en/blog/vulnerability/may-2026-security-releases/",
    ),
    "2": samples.node_entry(("CVE-2018-99011",), "8.x", "^8.0.1", publish_date="2018-01-02"),
    "3": samples.node_entry(("CVE-2016-99012",), "8.x", "^8.0.1", "https://github.com/nodejs/node/pull/1"),
}

SECURITY_RELEASE = """---
date: '2026-05-12T17:35:59.309Z'
category: release
---

## 2026-05-11, Version {version} (LTS), @somebody

This is a security release.

### Notable Changes

{notes}

### Commits

- (CVE-2026-99019) **deps**: named among the commits only
"""

POSTS = {
    "22.5.1": (
        "- (CVE-2026-99010) http: a fix (Somebody) \N{EN DASH} High",
        "- (CVE-2026-99013) tls: another (Somebody) \N{EN DASH} Medium",
    ),
    "22.5.2": ("- (CVE-2026-99013) tls: mended a regression (Somebody) \N{EN DASH} Medium",),
    "24.2.1": ("- **CVE-2026-99013/CVE-2026-99014**: two at once (Low)", "- tls: follows up CVE-2026-99015"),
    "25.0.1": ("  - [CVE-2026-99010](https://example.org): the database left the line out", "- (CVE-2016-1699) a slip"),
    "0.12.1": ("- (CVE-2026-99016) of a line that nobody counts",),
}


def _repository(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for arguments in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "state")):
        subprocess.run(["git", "-C", folder, *arguments], check=True)
    return folder


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("collect_nodejs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repositories(tmp_path: Path) -> tuple[Path, Path]:
    security = {f"vuln/core/{number}.json": json.dumps(entry) for number, entry in ENTRIES.items()}
    security["vuln/core/index.json"] = json.dumps(ENTRIES)
    blog = "apps/site/pages/en/blog"
    website = {
        f"{blog}/release/v{version}.md": SECURITY_RELEASE.format(version=version, notes="\n".join(notes))
        for version, notes in POSTS.items()
    }
    website[f"{blog}/release/v8.0.1.md"] = "---\ndate: 2018-01-05\n---\nOf old, without a heading with a day.\n"
    website[f"{blog}/release/v8.0.0.mdx"] = "---\ndate: '2017-12-05T00:00:00.000Z'\n---\n"
    website[f"{blog}/release/index.md"] = "About releases.\n"
    website[f"{blog}/vulnerability/may-2026-security-releases.md"] = "---\ndate: 2026-05-04T00:00:00.000Z\n---\n"
    website[f"{blog}/vulnerability/undated.md"] = "Nothing here.\n"
    return _repository(tmp_path / "security", security), _repository(tmp_path / "website", website)


def _run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["collect_nodejs.py", *map(str, arguments)])
    return int(script.main())


def test_what_both_repositories_tell_is_joined_and_the_same_every_time(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repositories: tuple[Path, Path]
) -> None:
    assert _run(script, monkeypatch, *repositories, tmp_path) == 0
    written = (tmp_path / "nodejs_advisories.json").read_bytes()
    assert _run(script, monkeypatch, *repositories, tmp_path) == 0
    assert (tmp_path / "nodejs_advisories.json").read_bytes() == written
    facts = json.loads(written)
    assert [source.split(" @ ")[0] for source in facts["_about"]["sources"]] == [
        "nodejs/security-wg",
        "nodejs/nodejs.org",
    ]
    assert facts["releases"] == {
        "0.12.1": "2026-05-11",
        "8.0.0": "2017-12-05",
        "8.0.1": "2018-01-05",
        **dict.fromkeys(("22.5.1", "22.5.2", "24.2.1", "25.0.1"), "2026-05-11"),
    }
    told = {
        row["id"]: (
            row.get("published"),
            row.get("severity"),
            {item["branch"]: item["fixed"] for item in row["ranges"]},
            [item["branch"] for item in row["ranges"] if "source" in item],
            row["source"] == script.NOTES,
        )
        for row in facts["advisories"]
    }
    assert told == {
        # Announced on the 4th that there will be releases; they came on the 11th. The notes know of a line more.
        "CVE-2026-99010": (
            "2026-05-11", "high", {"22": "22.5.1", "24": "24.2.1", "25": "25.0.1"}, ["25"], False,
        ),
        "CVE-2018-99011": ("2018-01-02", "high", {"8": "8.0.1"}, [], False),
        "CVE-2016-99012": (None, "high", {"8": "8.0.1"}, [], False),
        "CVE-2026-99013": ("2026-05-11", "moderate", {"22": "22.5.1", "24": "24.2.1"}, [], True),
        "CVE-2026-99014": ("2026-05-11", "low", {"24": "24.2.1"}, [], True),
    }  # fmt: skip


def test_what_cannot_be_read_is_told(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    repositories: tuple[Path, Path],
) -> None:
    security, website = repositories
    cases = [
        ((tmp_path / "absent", website), "absent"),
        ((security, security), "apps/site/pages/en/blog"),
        ((_repository(tmp_path / "other", {"vuln/core/1.json": '{"patched": 1}'}), website), "entry 1: vulnerable"),
    ]
    undated = {"apps/site/pages/en/blog/release/v8.0.0.md": "", "apps/site/pages/en/blog/vulnerability/a.md": ""}
    cases.append(((security, _repository(tmp_path / "undated", undated)), "the post about 8.0.0 has no day"))
    for places, words in cases:
        assert _run(script, monkeypatch, *places, tmp_path) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "nodejs_advisories.json").exists()
