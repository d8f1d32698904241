"""The commands ``labels set``, ``remove`` and ``list``: what they print, and the code that they end with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from libcensus.collector.errors import ConfigurationError, LabelError
from libcensus.collector.log import escape_control
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


def run_set(settings: CollectorSettings, host: str, words: Sequence[str], *, write: Callable[[str], None]) -> int:
    """Give a host labels and print all that it has; returns the exit code. Raises LabelError, StoreError."""
    try:
        labels = parse_labels(words)
    except InvalidLabelError as error:
        raise LabelError(str(error)) from None
    with open_store(settings) as store:
        host_id, name = _find(store, host)
        if len(store.labels().get(host_id, {}).keys() | labels.keys()) > MOST_LABELS:
            raise LabelError(f"{name} would have more than {MOST_LABELS} labels; remove some first")
        store.set_labels(host_id, labels)
        write(_line(name, store.labels().get(host_id, {})))
    return 0


def run_remove(settings: CollectorSettings, host: str, keys: Sequence[str], *, write: Callable[[str], None]) -> int:
    """Take labels from a host and print all that it has; returns the exit code. Raises LabelError, StoreError."""
    try:
        for key in keys:
            check_key(key)
    except InvalidLabelError as error:
        raise LabelError(str(error)) from None
    with open_store(settings) as store:
        host_id, name = _find(store, host)
        absent = sorted(set(keys) - store.labels().get(host_id, {}).keys())
        if absent:
            raise LabelError(f"{name} has no label {', '.join(absent)}; nothing was removed")
        store.remove_labels(host_id, keys)
        write(_line(name, store.labels().get(host_id, {})))
    return 0


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


def _find(store: Store, name_or_id: str) -> tuple[str, str]:
    """Return id and name of a host; raises LabelError where there is none."""
    found = store.find_host(name_or_id)
    if found is None:
        raise LabelError(
            f"no host has the name or id {name_or_id[:255]!r}; `libcensus-collector labels list` lists them"
        )
    return found.host_id, found.name


def _line(name: str, labels: Mapping[str, str]) -> str:
    return f"{escape_control(name)}  {show_labels(labels)}"
