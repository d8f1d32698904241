"""The Prometheus and the Alertmanager of the collector's host, asked from here."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.deploy.patience import wait_for

VISIBLE_SECONDS = 300
"""How long something that an agent reported may take to be seen: a scrape a minute, on a slow machine."""


def _ask(url: str, **parameters: str) -> Any:
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    with urllib.request.urlopen(url + query, timeout=60) as answer:  # noqa: S310 - a host that the test booted
        return json.load(answer)


@dataclass(frozen=True)
class Observer:
    """Where both answer."""

    address: str

    def query(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of what a query finds, with its value as ``value``."""
        found = _ask(f"http://{self.address}:9090/api/v1/query", query=expression)["data"]["result"]
        return [{**one["metric"], "value": one["value"][1]} for one in found]

    def by_host(self, expression: str) -> dict[str, float]:
        """Return what a query finds, by host."""
        return {one["host"]: float(one["value"]) for one in self.query(expression)}

    def hosts(self) -> dict[str, dict[str, str]]:
        """Return what is known of each host, by its name."""
        return {one["host"]: one for one in self.query("libcensus_host_info")}

    def installs(self, host: str) -> dict[str, dict[str, str]]:
        """Return the installs of a host's own root, by path."""
        found = self.query(f'libcensus_install_info{{host="{host}",root="/"}}')
        return {one["path"]: one for one in found}

    def wait_for_installs(self, host: str, expected: dict[str, dict[str, str]]) -> None:
        """Wait until installs have these labels."""

        def seen() -> bool:
            installs = self.installs(host)
            return all(
                path in installs and labels.items() <= installs[path].items() for path, labels in expected.items()
            )

        try:
            wait_for(f"{host}: {expected}", seen, seconds=VISIBLE_SECONDS, every=1)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.installs(host)}") from None

    def alerts(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that Alertmanager has and that hold."""
        return [one["labels"] for one in _ask(f"http://{self.address}:9093/api/v2/alerts", active="true")]
