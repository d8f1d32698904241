"""Where an export goes: standard output as it comes, or a file that is there when it is complete."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.cli.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO


STANDARD_OUTPUT = "-"


def write_texts(texts: Iterable[str], file: str) -> None:
    """Write texts to a file, or to standard output (``-``).

    Raises ArgumentError where the file cannot be written, before the first text is asked for where that is known by
    then. What ends early leaves no file behind, and the one that was there as it was. A link is followed; what is no
    plain file (a pipe, a device) is written as the texts come.
    """
    if file == STANDARD_OUTPUT:
        # Line ends are part of the formats: nothing may translate them.
        stream = getattr(sys.stdout, "buffer", None)
        for text in texts:
            if stream is None:
                sys.stdout.write(text)
            else:
                sys.stdout.flush()
                stream.write(_encoded(text))
        return
    target = Path(file).resolve()
    if target.exists() and not target.is_file():
        try:
            with target.open("wb") as stream:
                for text in texts:
                    _write(stream, _encoded(text), file)
        except OSError as error:
            raise ArgumentError(f"--output {file}: cannot be written: {error.strerror}") from None
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise ArgumentError(f"--output {file}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for text in texts:
                _write(stream, _encoded(text), file)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        try:
            Path(name).replace(target)
        except OSError as error:
            raise ArgumentError(f"--output {file}: cannot be written: {error.strerror}") from None
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _write(stream: BinaryIO, content: bytes, file: str) -> None:
    try:
        stream.write(content)
        stream.flush()
    except OSError as error:
        raise ArgumentError(f"--output {file}: cannot be written: {error.strerror}") from None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
