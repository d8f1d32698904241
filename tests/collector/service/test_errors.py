"""The catalogue of errors is complete, and tells clients no more than it should."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

import libcensus.collector
from libcensus.collector.errors import CollectorError, InconsistentFactsError, StoreError, StoreFullError
from libcensus.collector.service.errors import (
    CATALOGUE,
    NEVER_ON_THE_WIRE,
    PUSHBACK_KEY,
    HostNotFoundError,
    IdentityError,
    InvalidFieldError,
    MalformedMessageError,
    OverdueError,
    OverloadedError,
    ServiceNotFoundError,
    StoppingError,
    UploadTooLargeError,
    refuse,
)
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_module() -> Iterator[str]:
    for module in pkgutil.walk_packages(libcensus.collector.__path__, "libcensus.collector."):
        if ".migrations" not in module.name:
            yield module.name


def every_error(base: type[Exception] = CollectorError) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from every_error(child)


def test_every_error_of_the_collector_has_its_place_in_the_catalogue() -> None:
    for name in every_module():
        importlib.import_module(name)
    errors = {error for error in every_error() if error.__module__.startswith("libcensus.")} | {InvalidFactError}
    nowhere = sorted(error.__name__ for error in errors - CATALOGUE.keys() - NEVER_ON_THE_WIRE)
    assert nowhere == [], "give these a place in service/errors.py"
    assert not CATALOGUE.keys() & NEVER_ON_THE_WIRE
    assert CATALOGUE.keys() | NEVER_ON_THE_WIRE == errors, "the catalogue names errors that are gone"


CASES: tuple[tuple[Exception, grpc.StatusCode, str], ...] = (
    (InvalidFactError("host.hostname", "is empty"), grpc.StatusCode.INVALID_ARGUMENT, "host.hostname: is empty"),
    (InconsistentFactsError("installs.build", "is odd"), grpc.StatusCode.INVALID_ARGUMENT, "installs.build: is odd"),
    (InvalidFieldError("page_token", "is odd"), grpc.StatusCode.INVALID_ARGUMENT, "page_token: is odd"),
    (MalformedMessageError("request: is none"), grpc.StatusCode.INVALID_ARGUMENT, "request: is none"),
    (IdentityError("who"), grpc.StatusCode.UNAUTHENTICATED, "who"),
    (HostNotFoundError("no host"), grpc.StatusCode.NOT_FOUND, "no host"),
    (ServiceNotFoundError("no service"), grpc.StatusCode.NOT_FOUND, "no service"),
    (UploadTooLargeError("large"), grpc.StatusCode.RESOURCE_EXHAUSTED, "large"),
    (OverloadedError("later"), grpc.StatusCode.RESOURCE_EXHAUSTED, "later"),
    (OverdueError("late"), grpc.StatusCode.DEADLINE_EXCEEDED, "late"),
    (StoppingError("stopping"), grpc.StatusCode.UNAVAILABLE, "stopping"),
    (StoreFullError("/secret"), grpc.StatusCode.UNAVAILABLE, "the collector's database has no space left"),
    (StoreError("/secret"), grpc.StatusCode.UNAVAILABLE, "the collector's database cannot be used"),
)


@pytest.mark.parametrize(("error", "code", "details"), CASES, ids=[type(case[0]).__name__ for case in CASES])
def test_an_error_is_told_as_the_catalogue_says(error: Exception, code: grpc.StatusCode, details: str) -> None:
    refusal = refuse(error, "Service/Method")
    assert (refusal.code, refusal.details) == (code, details)


def test_only_overload_carries_a_retry_hint() -> None:
    assert refuse(OverloadedError("later", 2.5), "m").trailers == ((PUSHBACK_KEY, "2500"),)
    assert refuse(StoppingError("stopping"), "m").trailers == ()


def test_details_are_bounded_because_they_travel_in_a_trailer() -> None:
    details = refuse(HostNotFoundError("ä" * 5000), "m").details
    assert len(details) == 1024
    assert details.endswith("…")


def test_an_unknown_error_becomes_an_incident_that_the_log_explains(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        first = refuse(KeyError("secret"), "Service/Method")
        second = refuse(KeyError("secret"), "Service/Method")
    assert first.code is grpc.StatusCode.INTERNAL
    assert "secret" not in first.details
    assert first.details != second.details
    assert [one.exc_info is not None for one in caplog.records] == [True, True]


def test_a_subclass_that_nobody_placed_is_internal_and_not_taken_for_its_base() -> None:
    class NewError(StoreError):
        pass

    try:
        assert refuse(NewError("x"), "m").code is grpc.StatusCode.INTERNAL
    finally:
        # The test of completeness must not find it.
        NewError.__module__ = "tests"


def test_the_documentation_has_every_entry_of_the_catalogue_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "errors.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    documented = {(cells[2].strip("`"), cells[0]) for cells in rows if len(cells) == 4 and cells[2].startswith("`")}
    assert documented == {(error.__name__, status.code.name) for error, status in CATALOGUE.items()}
