"""How hosts get labels, and the commands ``labels set``, ``remove`` and ``list``."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.collector.errors import ConfigurationError, LabelError
from libcensus.collector.log import escape_control
from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.command_line import audit_log, who_runs_this
from libcensus.collector.posture.selector import (
    MOST_LABELS,
    InvalidLabelError,
    Selector,
    check_key,
    parse_labels,
)
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.store.contract import Store


@dataclass(frozen=True, slots=True)
class LabelledState:
    """A host and all labels that it has after a change."""

    host_id: str
    name: str
    labels: Mapping[str, str]


def change_labels(
    store: Store, name_or_id: str, given: Sequence[tuple[str, str]], taken: Sequence[str]
) -> LabelledState | None:
    """Give a host labels and take others from it; None where there is no such host.

    Raises LabelError for what is no label, for a key that stands twice, and for one to take that is not there; then
    nothing changed. Raises StoreError. What is taken is gone before what is given is there.
    """
    try:
        labels = parse_labels(f"{key}={value}" for key, value in given)
        for key in taken:
            check_key(key)
    except InvalidLabelError as error:
        raise LabelError(str(error)) from None
    both = sorted(labels.keys() & set(taken))
    if both:
        raise LabelError(f"the label {both[0]!r} is given and taken at once")
    found = store.find_host(name_or_id)
    if found is None:
        return None
    present = store.labels([found.host_id]).get(found.host_id, {})
    absent = sorted(set(taken) - present.keys())
    if absent:
        raise LabelError(f"{found.name} has no label {', '.join(absent)}; nothing was changed")
    if len((present.keys() - set(taken)) | labels.keys()) > MOST_LABELS:
        raise LabelError(f"{found.name} would have more than {MOST_LABELS} labels; remove some first")
    if taken:
        store.remove_labels(found.host_id, taken)
    if labels:
        store.set_labels(found.host_id, labels)
    return LabelledState(found.host_id, found.name, store.labels([found.host_id]).get(found.host_id, {}))


def run_set(settings: CollectorSettings, host: str, words: Sequence[str], *, write: Callable[[str], None]) -> int:
    """Give a host labels and print all that it has; returns the exit code. Raises LabelError, StoreError."""
    try:
        labels = parse_labels(words)
    except InvalidLabelError as error:
        raise LabelError(str(error)) from None
    return _change(settings, host, tuple(labels.items()), (), write)


def run_remove(settings: CollectorSettings, host: str, keys: Sequence[str], *, write: Callable[[str], None]) -> int:
    """Take labels from a host and print all that it has; returns the exit code. Raises LabelError, StoreError."""
    return _change(settings, host, (), keys, write)


def run_list(settings: CollectorSettings, selector: str | None, output: str, *, write: Callable[[str], None]) -> int:
    """Print hosts with their labels, one a line; returns the exit code. Raises LabelError, StoreError."""
    try:
        chosen = None if selector is None else Selector.parse(selector)
    except InvalidLabelError as error:
        raise LabelError(f"-l: {error}") from None
    with open_store(settings) as store:
        labels = store.labels()
        stamps = store.host_stamps()
    found = [(stamp.host_id, stamp.name, labels.get(stamp.host_id, {})) for stamp in stamps]
    if chosen is not None:
        found = [one for one in found if chosen.matches(one[2])]
    if output == "json":
        write(json.dumps([{"host_id": one, "name": name, "labels": dict(own)} for one, name, own in found], indent=2))
    else:
        for _, name, own in found:
            write(_line(name, own))
    return 0


def open_store(settings: CollectorSettings) -> SqlStore:
    """Open the settings' database beside the collector that may run on it; raises ConfigurationError, StoreError."""
    if settings.database is None:
        raise ConfigurationError("database: is not set; for example sqlite:////var/lib/libcensus/collector.db")
    return SqlStore.open(settings.database, beside=True)


def show_labels(labels: Mapping[str, str]) -> str:
    """Return labels as a person reads them: ``env=prod,team=payments``, or ``-`` without any."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "-"


def _change(
    settings: CollectorSettings,
    host: str,
    given: Sequence[tuple[str, str]],
    taken: Sequence[str],
    write: Callable[[str], None],
) -> int:
    with open_store(settings) as store:
        changed = change_labels(store, host, given, taken)
    if changed is None:
        raise LabelError(f"no host has the name or id {host[:255]!r}; `libcensus-collector labels list` lists them")
    words = [*(f"{key}={value}" for key, value in given), *(f"{key}-" for key in taken)]
    with closing(audit_log(settings)) as log:
        log.record(AuditEvent.LABELS_CHANGED, peer=who_runs_this(), host=changed.name, reason=" ".join(words))
    write(_line(changed.name, changed.labels))
    return 0


def _line(name: str, labels: Mapping[str, str]) -> str:
    return f"{escape_control(name)}  {show_labels(labels)}"
