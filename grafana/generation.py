"""All dashboards, and the JSON that is committed of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.collector import collector
from grafana.fleet import fleet
from grafana.host import host
from grafana.portability import portability
from grafana.providers import providers
from grafana.security import security

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> tuple[Dashboard, ...]:
    """Return all dashboards, in the order in which a reader would look at them."""
    return fleet(), portability(), security(), providers(), host(), collector()


def as_text(dashboard: Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana imports, without what is null."""
    plain = json.loads(JSONEncoder(sort_keys=True).encode(dashboard))
    return json.dumps(_without_nulls(plain), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def rendered() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{dashboard.uid}.json": as_text(dashboard) for dashboard in dashboards()}


def _without_nulls(value: Any) -> Any:
    """Drop what is null but the first step of thresholds, whose value has to be null."""
    if isinstance(value, dict):
        return {
            key: _without_nulls(item)
            for key, item in value.items()
            if item is not None or (key == "value" and "color" in value)
        }
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
