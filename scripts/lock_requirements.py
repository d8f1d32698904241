"""Lock ``requirements/*.in`` into hashed ``*.txt`` files that name no package index.

The resolver is uv; it is the one tool that the workspace expects to find and does not lock.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
ORDER = ("build", "runtime", "agent", "dev", "samples", "bench", "fuzz", "bundle")


def main() -> None:
    """Lock every file in the order in which they include each other."""
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("locking needs uv on the PATH (pip install uv)")
    for name in ORDER:
        source = REQUIREMENTS / f"{name}.in"
        if source.exists():
            lock(uv, source, "3.11")
    for source in sorted((REQUIREMENTS / "fleet").glob("python*-*.in")):
        lock(uv, source, source.name.removeprefix("python").partition("-")[0], "--only-binary", ":all:")


def lock(uv: str, source: Path, python: str, *more: str) -> None:
    """Lock one file for one Python."""
    target = source.with_suffix(".txt")
    options = ["--generate-hashes", "--no-emit-index-url", "--no-header", "--no-strip-extras", "-q"]
    names = [str(path.relative_to(REQUIREMENTS.parent)) for path in (source, target)]
    subprocess.run(
        [uv, "pip", "compile", *options, "--python-version", python, *more, names[0], "-o", names[1]],
        check=True,
        cwd=REQUIREMENTS.parent,
    )
    if "://" in target.read_text(encoding="utf-8"):
        sys.exit(f"{target} holds a URL; a lock names packages and hashes only")
    print(f"locked {names[1]}")


if __name__ == "__main__":
    main()
