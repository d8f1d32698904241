"""How an environment hangs on its base, from values alone: the text of the links decides, not where they end."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.environments import Base, Step, judge, names_release, pinned_folder
from libcensus.facts.vocabulary import EnvironmentState, Installer, Provider

FOLLOWS, PINNED = EnvironmentState.FOLLOWS, EnvironmentState.PINNED
COPIED, UNKNOWN = EnvironmentState.COPIED, EnvironmentState.UNKNOWN
LINK = "/srv/env/bin/python"
OTHER = "/srv/other/bin/python"
ENVIRONMENTS = {"/srv/env", "/srv/other"}
UV = "/home/u/.local/share/uv/python"
PATCH = f"{UV}/cpython-3.12.6-linux-x86_64-gnu"
MINOR = f"{UV}/cpython-3.12-linux-x86_64-gnu"
NIX = "/nix/store/0c9v3s1h0d1qy2wnx7s0mz8hf3pjv4ka-python3-3.12.6"


def based(installer: Installer = Installer.UNKNOWN, provider: Provider = Provider.UNKNOWN) -> Base:
    return Base("3.12.6", "3.12", provider, installer)


def named(path: str, link: str | None) -> list[Step]:
    """The steps down to a path, all named by one link."""
    return [Step(str(one), link) for one in [*reversed(PurePosixPath(path).parents), path] if str(one) != "/"]


@pytest.mark.parametrize(
    ("steps", "base", "state", "file"),
    [
        pytest.param(named("/usr/bin/python3.12", LINK), based(Installer.DPKG), FOLLOWS, None, id="package"),
        pytest.param(
            named("/opt/python/3.12.6/bin/python3", LINK),
            based(Installer.DPKG),
            PINNED,
            LINK,
            id="package of one patch",
        ),
        pytest.param(named(f"{PATCH}/bin/python3.12", LINK), based(Installer.UV), PINNED, LINK, id="uv's patch folder"),
        pytest.param(
            [*named(UV, LINK), Step(PATCH, MINOR), *named(f"{PATCH}/bin/python3.12", LINK)[-2:]],
            based(Installer.UV),
            FOLLOWS,
            MINOR,
            id="uv's minor-version link",
        ),
        pytest.param(
            [*named("/home/u/.local/bin", LINK), *named(f"{PATCH}/bin/python3.12", "/home/u/.local/bin/python3.12")],
            based(Installer.UV),
            FOLLOWS,
            "/home/u/.local/bin/python3.12",
            id="link on PATH",
        ),
        pytest.param(
            [*named("/data/home", "/home"), *named(f"/data{PATCH}/bin/python3.12", LINK)[2:]],
            based(Installer.UV),
            PINNED,
            LINK,
            id="link to another disk moves nothing on",
        ),
        pytest.param(
            [*named("/srv/other/bin", LINK), *named(f"{PATCH}/bin/python3.12", OTHER)],
            based(Installer.UV),
            PINNED,
            OTHER,
            id="through another environment",
        ),
        pytest.param(
            named(f"{PATCH}/bin/python3.12", "/usr/local/bin/python-3.12.6/python"),
            based(),
            PINNED,
            "/usr/local/bin/python-3.12.6/python",
            id="link that is itself named for one release",
        ),
        pytest.param(
            named("/home/u/.pyenv/versions/3.12.6/bin/python3.12", LINK),
            based(Installer.PYENV),
            PINNED,
            LINK,
            id="pyenv",
        ),
        pytest.param(
            named("/home/u/.pyenv/versions/3.12-dev/bin/python3.12", LINK),
            based(Installer.PYENV),
            FOLLOWS,
            None,
            id="pyenv's development version",
        ),
        pytest.param(
            named("/home/u/.local/share/hatch/pythons/3.12/python/bin/python3", LINK),
            based(Installer.HATCH),
            FOLLOWS,
            None,
            id="hatch replaces its folder",
        ),
        pytest.param(
            named("/home/u/.rye/py/cpython@3.12.6/bin/python3", LINK), based(Installer.RYE), PINNED, LINK, id="rye"
        ),
        pytest.param(
            named("/opt/conda/envs/py3.12.6/bin/python3.12", LINK),
            based(Installer.CONDA, Provider.CONDA),
            FOLLOWS,
            None,
            id="conda changes an environment in place, whatever its name",
        ),
        pytest.param(named(f"{NIX}/bin/python3.12", LINK), based(Installer.NIX), PINNED, LINK, id="store path"),
        pytest.param(
            named(f"{NIX}/bin/python3.12", "/home/u/.nix-profile/bin/python3"),
            based(Installer.NIX),
            FOLLOWS,
            "/home/u/.nix-profile/bin/python3",
            id="profile of nix",
        ),
        pytest.param(
            named("/snap/tool/123/usr/bin/python3.12", LINK), based(Installer.SNAP), PINNED, LINK, id="snap's revision"
        ),
        pytest.param(
            [*named("/snap/tool", LINK), Step("/snap/tool/123", "/snap/tool/current"), Step("/snap/tool/123/py", LINK)],
            based(Installer.SNAP),
            FOLLOWS,
            "/snap/tool/current",
            id="snap's current revision",
        ),
        pytest.param(
            named("/usr/local/bin/python3.12", LINK), based(provider=Provider.SOURCE), FOLLOWS, None, id="/usr/local"
        ),
        pytest.param(named("/data/py/bin/python3.12", LINK), based(), UNKNOWN, None, id="nobody tells"),
        pytest.param(
            named("/data/app-1.2.3/bin/python3.12", LINK), based(), UNKNOWN, None, id="another product's version"
        ),
        pytest.param(named("/srv/env/bin/python3.12", None), based(Installer.UV), COPIED, None, id="copy"),
        pytest.param(
            named("/srv/other/bin/python3.12", LINK), based(Installer.UV), COPIED, None, id="another environment's copy"
        ),
    ],
)
def test_state(steps: list[Step], base: Base, state: EnvironmentState, file: str | None) -> None:
    hold = judge(steps, base, ENVIRONMENTS)
    assert hold.state is state
    assert hold.file == (file or steps[-1].path)


@pytest.mark.parametrize(
    ("name", "is_release"),
    [
        ("cpython-3.12.6-linux-x86_64-gnu", True),
        ("3.12.6", True),
        ("v3.12.6", True),
        ("cpython@3.12.3", True),
        ("3.12.0rc1", True),
        ("3.12", False),
        ("3.12-dev", False),
        ("3.11.9", False),
        ("13.12.6", False),
        ("1.3.12.6", False),
        ("3.12.6.1", False),
    ],
)
def test_names_of_one_release(name: str, is_release: bool) -> None:
    assert names_release(name, based()) is is_release


def test_folder_of_an_unknown_version_is_pinned_by_the_recorded_one_only() -> None:
    assert pinned_folder("/x/3.12.6/bin/python", Base(None, None)) is None
    assert pinned_folder("/x/3.12.6/bin/python", Base(None, "3.12")) == "/x/3.12.6"


@given(st.lists(st.tuples(st.text(max_size=30), st.none() | st.text(max_size=30)), min_size=1, max_size=8))
def test_any_steps_have_a_state(steps: list[tuple[str, str | None]]) -> None:
    judged = judge([Step(f"/{path}", link) for path, link in steps], based(), ENVIRONMENTS)
    assert judged.state in EnvironmentState
