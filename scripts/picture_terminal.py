"""Make the README's picture: run a command in a real terminal of a given width and draw what it shows as SVG.

python scripts/picture_terminal.py docs/demo.svg 150 -- libcensus demo --once
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text


def run_in_terminal(command: list[str], columns: int) -> str:
    """Return what a command writes to a terminal of this many columns, with its colours."""
    pid, master = pty.fork()
    if pid == 0:
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns)}
        os.execvpe(command[0], command, environment)  # noqa: S606  the caller names the command
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    written = io.BytesIO()
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        written.write(chunk)
    os.waitpid(pid, 0)
    return written.getvalue().decode(errors="replace").replace("\r\n", "\n")


def last_state(text: str) -> str:
    """Return the text as it stands at the end: lines that a progress display wrote over are gone."""
    lines = [re.split(r"\r|\x1b\[2?K", line)[-1] for line in text.split("\n")]
    clean = [re.sub(r"\x1b\[\?\d+[hl]|\x1b\[\d*[A-HJ]", "", line).rstrip() for line in lines]
    return "\n".join(clean).strip("\n")


def main() -> None:
    """Run the command and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("columns", type=int)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    shown = last_state(run_in_terminal(arguments.command, arguments.columns))
    console = Console(record=True, width=arguments.columns, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {' '.join(arguments.command)}\n{shown}"), soft_wrap=False)
    drawing = console.export_svg(title="libcensus")
    # The drawing shall show without fetching a font from anywhere.
    drawing = re.sub(r"@font-face \{.*?\}\n?", "", drawing, flags=re.DOTALL)
    arguments.target.write_text(drawing, encoding="utf-8")
    print(f"wrote {arguments.target} ({len(drawing)} bytes)", file=sys.stderr)


if __name__ == "__main__":
    main()
