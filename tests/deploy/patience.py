"""Waiting until something is so, with a deadline that a slow machine keeps."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar
from urllib.error import URLError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_PAUSE = threading.Event()


def wait_for(what: str, look: Callable[[], T], *, seconds: float = 240, every: float = 0.25) -> T:
    """Look again and again until the answer is true, and return it; AssertionError tells the last answer or error."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = look()
            if answer:
                return answer
            last: object = answer
        except (URLError, ConnectionError, TimeoutError) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:.0f} seconds; last seen: {last!r}")
        _PAUSE.wait(every)
