"""Makes what is deployed: the agent's bundle with its own Python, and wheelhouses for hosts that have one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from release.bundle import Wanted, make_bundle
from release.errors import ReleaseError
from release.wheelhouse import PLATFORMS, WantedWheelhouse, make_wheelhouse
from release.wheels import ROOT


def _cache() -> Path:
    """Return where sources, wheels and what was compiled are kept between runs."""
    if given := os.environ.get("LIBCENSUS_RELEASE_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "libcensus-release"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    bundle = commands.add_parser("bundle", help="make the self-contained agent")
    bundle.add_argument("--arch", default="x86_64", help="x86_64 or aarch64")
    bundle.add_argument("--cpython", type=Path, help="source archive of CPython (default: the stated one)")
    bundle.add_argument("--sources", type=Path, action="append", default=[], help="folder of source archives (offline)")
    wheelhouse = commands.add_parser("wheelhouse", help="gather the agent's wheels for named platforms")
    wheelhouse.add_argument(
        "--platform", action="append", default=[], help=f"such as {PLATFORMS[0]}; may be repeated (default: all known)"
    )
    for command in (bundle, wheelhouse):
        command.add_argument("--label", help="local version of this artefact: 0.1.0+LABEL")
        command.add_argument("--output", type=Path, default=ROOT / "dist", help="where the artefacts go")
    return parser


def main() -> None:
    """Run one command."""
    arguments = _parser().parse_args()
    try:
        if arguments.command == "wheelhouse":
            make_wheelhouse(WantedWheelhouse(arguments.platform, arguments.output, _cache(), arguments.label))
        else:
            wanted = (arguments.arch, arguments.output, _cache(), arguments.sources, arguments.cpython)
            make_bundle(Wanted(*wanted, arguments.label))
    except ReleaseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
