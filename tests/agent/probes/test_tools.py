"""Tools: uv programs by their content, with version, newest build and environment; and what settings allow."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import Root
from libcensus.agent.probes.context import ScanContext
from libcensus.agent.probes.packages import probe_packages
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.tools import probe_tools
from libcensus.agent.probes.walk import probe_walk
from libcensus.agent.settings import ScanSettings
from libcensus.facts.vocabulary import EvidenceKind
from tests.agent.roots import VENDOR, add_dpkg, compile_c, needs_gcc

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.facts.tool import Tool

BASE = "https://github.com/astral-sh/python-build-standalone/releases/download"
CONFIGURATION = "0.9.0version_infoinclude-system-site-packages"


def uv_source(*, configuration: str = CONFIGURATION, tags: tuple[str, ...] = ("20250918", "20251007")) -> str:
    """Return C source of a program with the texts of a uv."""
    texts = ["crates/uv/src/lib.rs", "UV_CACHE_DIR", configuration]
    texts += [f"{BASE}/{tag}/cpython-3.13.{number}.tar.gz" for tag in tags for number in range(10)]
    listed = ",\n".join(f'"{text}"' for text in texts)
    return f"const char *texts[] = {{{listed}}};\nint main(void) {{ return texts[0][0]; }}\n"


def tools_of(top: Path) -> tuple[ScanContext, Skips]:
    """Probe a folder for tools alone."""
    with Root.open(str(top)) as root:
        context = ScanContext(root, ScanSettings())
        probe_walk(context, Skips())
        if (top / "var/lib/dpkg").is_dir():
            probe_packages(context, Skips())
        skips = Skips()
        probe_tools(context, skips)
    return context, skips


def only_tool(top: Path) -> Tool:
    (tool,) = tools_of(top)[0].tools
    return tool


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def shown(tool: Tool) -> tuple[str, str | None, str | None, str | None]:
    return tool.path, tool.version, tool.newest_build, tool.environment


def test_published_uv_in_an_environment(tmp_path: Path, sample_wheels: Path) -> None:
    (wheel,) = sample_wheels.glob("uv-*.whl")
    version = wheel.name.split("-")[1]
    site = tmp_path / "opt/venv/lib/python3.11/site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (tmp_path / "opt/venv/bin").mkdir()
    # What pip does: scripts to bin, and RECORD says so.
    for name in ("uv", "uvx"):
        shutil.move(site / f"uv-{version}.data/scripts/{name}", tmp_path / f"opt/venv/bin/{name}")
        (tmp_path / f"opt/venv/bin/{name}").chmod(0o755)
    record = site / f"uv-{version}.dist-info/RECORD"
    record.write_text(record.read_text().replace(f"uv-{version}.data/scripts/", "../../../bin/"))
    tool = only_tool(tmp_path)
    assert shown(tool) == ("/opt/venv/bin/uv", version, "20261110", "/opt/venv")
    kinds = {(item.subject, item.kind) for item in tool.evidence}
    assert kinds == {
        ("name", EvidenceKind.STRING),
        ("version", EvidenceKind.STRING),
        ("version", EvidenceKind.PACKAGE_RECORD),
        ("newest_build", EvidenceKind.STRING),
    }


@needs_gcc
@pytest.mark.parametrize(
    ("path", "records", "version", "environment"),
    [
        pytest.param("usr/local/bin/uv", {}, None, None, id="nothing tells"),
        pytest.param(
            "root/.local/bin/uv",
            {"root/.config/uv/uv-receipt.json": {"install_prefix": "/root/.local/bin", "version": "0.6.9"}},
            "0.6.9",
            None,
            id="its own receipt",
        ),
        pytest.param(
            "usr/local/bin/uv",
            {"usr/.config/uv/uv-receipt.json": {"install_prefix": "/root/.local/bin", "version": "0.6.9"}},
            None,
            None,
            id="the receipt of another",
        ),
        pytest.param(
            "home/a/.cargo/bin/uv",
            {"home/a/.cargo/.crates2.json": {"installs": {"uv 0.4.1 (git+https://x)": {"bins": ["uv", "uvx"]}}}},
            "0.4.1",
            None,
            id="cargo",
        ),
        pytest.param(
            "opt/conda/bin/uv",
            {"opt/conda/conda-meta/uv-0.8.2-h1_0.json": {"version": "0.8.2", "files": ["bin/uv"]}},
            "0.8.2",
            "/opt/conda",
            id="conda",
        ),
        pytest.param("srv/venv/bin/uv", {"srv/venv/pyvenv.cfg": "home = /usr/bin\n"}, None, "/srv/venv", id="venv"),
        pytest.param(
            "root/.local/bin/uv",
            {"root/.config/uv/uv-receipt.json": "{", "root/.local/.crates2.json": []},
            None,
            None,
            id="damaged records",
        ),
    ],
)
def test_records_answer_where_the_bytes_do_not(
    tmp_path: Path, path: str, records: dict[str, object], version: str | None, environment: str | None
) -> None:
    compile_c(tmp_path / path, uv_source(configuration="include-system-site-packages"))
    for name, record in records.items():
        write(tmp_path / name, record if isinstance(record, str) else json.dumps(record))
    assert shown(only_tool(tmp_path)) == (f"/{path}", version, "20251007", environment)


@needs_gcc
def test_the_programs_own_version_outweighs_a_record(tmp_path: Path) -> None:
    compile_c(tmp_path / "root/.local/bin/uv", uv_source())
    receipt = {"install_prefix": "/root/.local/bin", "version": "0.1.0"}
    write(tmp_path / "root/.config/uv/uv-receipt.json", json.dumps(receipt))
    tool = only_tool(tmp_path)
    assert tool.version == "0.9.0"
    assert any(item.detail == "0.1.0; the program itself says 0.9.0, which counts" for item in tool.evidence)


@needs_gcc
def test_package_that_owns_it(tmp_path: Path) -> None:
    compile_c(tmp_path / "usr/bin/uv", uv_source(configuration="include-system-site-packages", tags=()))
    add_dpkg(tmp_path, {"uv": ("1:0.9.5-1", VENDOR, ("/usr/bin/uv",))})
    tool = only_tool(tmp_path)
    assert tool.package is not None
    assert (tool.package.name, tool.version, tool.newest_build) == ("uv", "0.9.5", None)
    assert any(item.kind is EvidenceKind.ABSENCE and item.subject == "newest_build" for item in tool.evidence)


@needs_gcc
def test_one_program_under_several_names_counts_once_in_each_environment(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"srv/{name}/pyvenv.cfg", "home = /usr/bin\n")
    first = compile_c(tmp_path / "srv/a/bin/uv", uv_source())
    write(tmp_path / "root/.cache/uv/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    for name in ("srv/b/bin/uv", "root/.cache/uv/archive-v0/x/uv-0.9.0.data/scripts/uv", "opt/uv/uv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(first, tmp_path / name)
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/uv").symlink_to("/srv/a/bin/uv")
    context, skips = tools_of(tmp_path)
    assert [tool.path for tool in context.tools] == ["/srv/a/bin/uv", "/srv/b/bin/uv"]
    assert skips.counts == {"installer-cache": 1}


@needs_gcc
def test_another_program_of_that_name_is_counted_and_no_tool(tmp_path: Path) -> None:
    compile_c(tmp_path / "usr/bin/uv", "int main(void) { return 0; }")
    context, skips = tools_of(tmp_path)
    assert context.tools == []
    assert skips.counts == {"not-a-tool": 1}


def test_settings_of_system_user_and_project(tmp_path: Path) -> None:
    write(tmp_path / "etc/uv/uv.toml", 'python-downloads = "never"\n')
    write(tmp_path / "root/.config/uv/uv.toml", 'python-preference = "only-system"\npython-downloads = "manual"\n')
    write(tmp_path / "srv/app/pyproject.toml", '[project]\nname = "x"\n\n[tool.uv]\npython-preference = "system"\n')
    write(tmp_path / "srv/other/pyproject.toml", "[tool.black]\n")
    write(tmp_path / "srv/broken/uv.toml", "python-downloads = \n")
    write(tmp_path / "srv/huge/uv.toml", "#" * (1 << 20))
    context, skips = tools_of(tmp_path)
    assert [(one.path, one.name, one.value, one.evidence[0].detail) for one in context.tool_settings] == [
        ("/etc/uv/uv.toml", "python-downloads", "never", 'line 1: python-downloads = "never"'),
        ("/root/.config/uv/uv.toml", "python-downloads", "manual", 'line 2: python-downloads = "manual"'),
        ("/root/.config/uv/uv.toml", "python-preference", "only-system", 'line 1: python-preference = "only-system"'),
        ("/srv/app/pyproject.toml", "python-preference", "system", 'line 5: python-preference = "system"'),
    ]
    assert skips.counts == {"damaged-settings": 1, "too-large": 1}
