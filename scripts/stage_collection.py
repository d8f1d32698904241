"""Puts the Ansible collection together in a folder that Ansible finds it in, with what its roles carry from elsewhere.

    python scripts/stage_collection.py FOLDER      # FOLDER/ansible_collections/libcensus/fleet

The rules, the dashboards and the lock of the agent's dependencies stand once in the repository; the collection gets
copies, so that it needs no checkout. Uses the standard library only.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = Path("ansible_collections", "libcensus", "fleet")
CARRIED = {
    "prometheus/rules": "roles/libcensus_collector/files/prometheus",
    "grafana/dashboards": "roles/libcensus_collector/files/grafana",
    "requirements/agent.txt": "roles/libcensus_agent/files/requirements.txt",
    "requirements/runtime.txt": "roles/libcensus_collector/files/requirements.txt",
    "LICENSE": "LICENSE",
}
"""What is copied into the collection, from the repository's root to the collection's."""


def stage(folder: Path) -> Path:
    """Make the collection anew below ``folder``; returns where it is."""
    target = folder / NAME
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "ansible", target, symlinks=True, ignore=shutil.ignore_patterns(".ansible", "__pycache__"))
    for source, place in CARRIED.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, path)
        else:
            shutil.copyfile(ROOT / source, path)
    return target


def main() -> None:
    """Stage the collection below the folder that is named."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    print(stage(Path(sys.argv[1]).resolve()))


if __name__ == "__main__":
    main()
