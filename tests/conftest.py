"""Fixtures and settings that more than one part of the tests uses."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import postgres_server, postgres_url

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["postgres_server", "postgres_url"]

# Properties are about values, never about time: a loaded machine must not make one fail.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell starts background jobs with Ctrl-C ignored, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_LOGGERS = ("", "libcensus", "grpc", "alembic", "sqlalchemy")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a command that ran inside a test set: logging belongs to the whole process."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def fetched_wheels(folder: Path, *locks: str) -> Path:
    """Fetch the wheels that lock files of ``requirements`` pin by hash, as pip is configured; returns the folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for lock in locks:
        pinned = Path(__file__).parents[1] / "requirements" / lock
        subprocess.run(
            [*command, "--only-binary=:all:", "--require-hashes", "-r", str(pinned), "-d", str(folder)], check=True
        )
    return folder


@pytest.fixture(scope="session")
def sample_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of published wheels that tests read, ``requirements/samples.txt``."""
    return fetched_wheels(tmp_path_factory.mktemp("wheels"), "samples.txt")
