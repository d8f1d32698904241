"""Writes the dashboards' JSON, or checks that the committed files are what the code makes."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from grafana.generation import FOLDER, rendered

if TYPE_CHECKING:
    from pathlib import Path


def main() -> int:
    """Write all files, or name those that differ."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where a file is not what it should be"
    )
    check = parser.parse_args().check
    wanted = rendered()
    stale = [path for path in FOLDER.glob("*.json") if path.name not in wanted]
    changed = [name for name, text in wanted.items() if not _is(FOLDER / name, text)]
    if check:
        for name in (*changed, *(path.name for path in stale)):
            print(f"grafana/dashboards/{name} is not what the code makes; run `make dashboards`", file=sys.stderr)
        return 1 if changed or stale else 0
    for path in stale:
        path.unlink()
    for name in changed:
        (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        print(f"wrote grafana/dashboards/{name}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
