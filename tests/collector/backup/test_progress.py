"""Progress is for people at a terminal, and leaves nothing behind."""

from __future__ import annotations

import io

from libcensus.collector.backup.command import shown_progress


class Terminal(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_gone_at_the_end() -> None:
    screen = Terminal()
    with shown_progress(screen) as show:
        for share in (0.0, 0.001, 0.5, 1.0):
            show("copying the database", share)
    lines = screen.getvalue().split("\r\x1b[K")
    assert lines == ["", *(f"copying the database: {share}" for share in ("0%", "50%", "100%")), ""]


def test_elsewhere_nothing_is_shown() -> None:
    log = io.StringIO()
    with shown_progress(log) as show:
        show("copying the database", 0.5)
    assert log.getvalue() == ""
