"""How the tests of ELF files get real ones: compiled here, or committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures" / "elf"


def compile_c(folder: Path, name: str, source: str, *flags: str) -> Path:
    """Compile one C source with gcc; flags stand behind the source, where linkers want libraries."""
    text = folder / f"{name}.c"
    text.write_text(source)
    subprocess.run(["gcc", "-O1", str(text), "-o", str(folder / name), *flags], check=True, capture_output=True)
    return folder / name
