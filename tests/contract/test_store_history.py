"""What every store promises of history: intervals per install."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.vocabulary import CryptoFamily, Installer, InstallKind, Linkage
from tests.contract.specimens import (
    NOON,
    STATIC_OPENSSL,
    SYSTEM_OPENSSL,
    UNRESOLVED,
    Census,
    address,
    build,
    install,
    received,
)

if TYPE_CHECKING:
    from datetime import datetime

    from libcensus.collector.store.contract import Store
    from libcensus.facts.interpreter import Install

A = "a" * 32
OLD, NEW = build("20260127", "3.12.4"), build("20260301", "3.12.5")
PYTHON = "/opt/python/bin/python3"


def hours(number: float) -> datetime:
    return NOON + timedelta(hours=number)


def tell(store: Store, moment: datetime, *installs: Install, mark: str = "h") -> None:
    """Report a host with these installs at a moment."""
    census = Census.with_installs("web", mark, installs, (OLD, NEW))
    store.put_facts(census.records)
    assert store.apply_reports([received(A, census.address, moment)]) == [()]


def spans(store: Store) -> list[tuple[str, datetime, datetime, datetime | None]]:
    return [(one.path, one.first_seen, one.last_seen, one.gone_at) for one in store.intervals(A)]


def test_an_install_that_stays_has_one_open_interval(store: Store) -> None:
    for hour in range(4):
        tell(store, hours(hour), install(PYTHON, OLD))
    assert spans(store) == [(PYTHON, hours(0), hours(3), None)]


def test_an_interval_tells_all_of_its_install(store: Store) -> None:
    told = [
        install("/usr/bin/python3.11", OLD, SYSTEM_OPENSSL, installer=Installer.DPKG),
        install("/srv/.venv/bin/python", NEW, STATIC_OPENSSL, kind=InstallKind.VENV, root="/srv/image"),
        install("/srv/broken/bin/python", None, UNRESOLVED, kind=InstallKind.VENV, installer=Installer.UNKNOWN),
    ]
    tell(store, NOON, *told)
    found = store.intervals(A)
    expected = sorted(told, key=lambda one: (one.root, one.path))
    assert [
        (one.host_id, one.root, one.path, one.kind, one.implementation, one.installer, one.build, one.crypto)
        for one in found
    ] == [
        (A, one.root, one.path, one.kind, one.implementation, one.installer, one.build, one.crypto) for one in expected
    ]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(install(PYTHON, NEW), id="build"),
        pytest.param(install(PYTHON, None), id="build unreadable"),
        pytest.param(install(PYTHON, OLD, SYSTEM_OPENSSL), id="crypto use"),
        pytest.param(
            install(PYTHON, OLD, CryptoUse(Linkage.STATIC, STATIC_OPENSSL.path, CryptoLibrary(CryptoFamily.OPENSSL))),
            id="crypto version",
        ),
        pytest.param(
            install(PYTHON, OLD, CryptoUse(Linkage.STATIC, "/elsewhere", STATIC_OPENSSL.library)), id="crypto path"
        ),
        pytest.param(
            install(PYTHON, OLD, CryptoUse(Linkage.STATIC, STATIC_OPENSSL.path, STATIC_OPENSSL.library, "libssl.so.3")),
            id="soname asked for",
        ),
        pytest.param(install(PYTHON, OLD, kind=InstallKind.VENV), id="kind"),
        pytest.param(install(PYTHON, OLD, installer=Installer.PYENV), id="installer"),
    ],
)
def test_a_change_ends_the_interval_and_opens_the_next(store: Store, changed: Install) -> None:
    tell(store, hours(0), install(PYTHON, OLD))
    tell(store, hours(1), install(PYTHON, OLD))
    tell(store, hours(2), changed)
    tell(store, hours(3), changed)
    assert spans(store) == [
        (PYTHON, hours(0), hours(1), hours(2)),
        (PYTHON, hours(2), hours(3), None),
    ]
    assert store.intervals(A)[1].crypto == changed.crypto


def test_what_comes_and_goes_leaves_its_neighbours_alone(store: Store) -> None:
    stays, goes, comes = install("/a/python", OLD), install("/b/python", OLD), install("/c/python", NEW)
    tell(store, hours(0), stays, goes)
    tell(store, hours(1), stays, comes)
    tell(store, hours(2), stays, comes, goes)
    assert spans(store) == [
        ("/a/python", hours(0), hours(2), None),
        ("/b/python", hours(0), hours(0), hours(1)),
        ("/b/python", hours(2), hours(2), None),
        ("/c/python", hours(1), hours(2), None),
    ]


def test_the_same_path_in_two_roots_is_two_installs(store: Store) -> None:
    tell(store, hours(0), install(PYTHON, OLD), install(PYTHON, OLD, root="/srv/chroot"))
    tell(store, hours(1), install(PYTHON, OLD))
    assert [(one.root, one.gone_at) for one in store.intervals(A)] == [("/", None), ("/srv/chroot", hours(1))]


def test_a_change_beside_the_installs_touches_no_interval(store: Store) -> None:
    tell(store, hours(0), install(PYTHON, OLD), mark="before")
    tell(store, hours(1), install(PYTHON, OLD), mark="after")
    assert spans(store) == [(PYTHON, hours(0), hours(1), None)]


def test_a_host_that_loses_everything_keeps_its_history(store: Store) -> None:
    tell(store, hours(0), install(PYTHON, OLD))
    tell(store, hours(1))
    tell(store, hours(2))
    assert spans(store) == [(PYTHON, hours(0), hours(0), hours(1))]


def test_a_clock_set_back_keeps_intervals_in_order(store: Store) -> None:
    tell(store, hours(10), install(PYTHON, OLD))
    tell(store, hours(2), install(PYTHON, NEW))
    tell(store, hours(3), install(PYTHON, OLD))
    assert spans(store) == [
        (PYTHON, hours(10), hours(10), hours(10)),
        (PYTHON, hours(10), hours(10), hours(10)),
        (PYTHON, hours(10), hours(10), None),
    ]
    assert [one.build for one in store.intervals(A)] == [address(OLD), address(NEW), address(OLD)]
    assert store.hosts()[0].last_report == hours(3)
    tell(store, hours(12), install(PYTHON, OLD))
    assert spans(store)[-1] == (PYTHON, hours(10), hours(12), None)


def test_a_straggler_leaves_history_alone(store: Store) -> None:
    tell(store, hours(0), install(PYTHON, NEW))
    late = Census.with_installs("web", "h", (install(PYTHON, OLD),), (OLD, NEW))
    store.put_facts(late.records)
    moment = NOON - timedelta(seconds=5)
    assert store.apply_reports([received(A, late.address, moment, scanned=moment)]) == [()]
    assert spans(store) == [(PYTHON, hours(0), hours(0), None)]


def test_hosts_of_one_build_have_histories_of_their_own(store: Store) -> None:
    tell(store, hours(0), install(PYTHON, OLD))
    census = Census.with_installs("db", "h", (install(PYTHON, OLD),), (OLD, NEW))
    store.put_facts(census.records)
    store.apply_reports([received("b" * 32, census.address, hours(5))])
    assert [one.first_seen for one in store.intervals("b" * 32)] == [hours(5)]
    assert spans(store) == [(PYTHON, hours(0), hours(0), None)]


# --- what a host had when ---------------------------------------------------------------------------------------------


def test_the_facts_of_every_past_moment_are_known(store: Store) -> None:
    tell(store, hours(0), install(PYTHON, OLD), mark="1")
    tell(store, hours(1), install(PYTHON, OLD), mark="1")
    tell(store, hours(2), install(PYTHON, NEW), mark="2")
    tell(store, hours(5), install(PYTHON, OLD), mark="1")
    found = store.inventory_history([A, "nobody"])
    assert list(found) == [A]
    assert [(one.first_seen, one.gone_at) for one in found[A]] == [
        (hours(0), hours(2)),
        (hours(2), hours(5)),
        (hours(5), None),
    ]
    assert found[A][0].inventory == found[A][2].inventory != found[A][1].inventory
    assert store.facts([found[A][1].inventory])
    assert store.stamps_at(hours(-1)) == []
    for moment, expected in ((0, 0), (1.9, 0), (2, 1), (4.9, 1), (5, 2), (999, 2)):
        (stamp,) = store.stamps_at(hours(moment))
        assert (stamp.host_id, stamp.inventory) == (A, found[A][expected].inventory)
        assert stamp.last_report == found[A][expected].first_seen


def test_history_has_no_gap_where_the_clock_went_back(store: Store) -> None:
    for hour, python in ((5, OLD), (1, NEW), (6, OLD)):
        tell(store, hours(hour), install(PYTHON, python))
    ends = [(one.first_seen, one.gone_at) for one in store.inventory_history([A])[A]]
    assert [end for _, end in ends[:-1]] == [begin for begin, _ in ends[1:]]
    assert all(end is None or begin <= end for begin, end in ends)
    assert len(store.stamps_at(hours(7))) == 1
