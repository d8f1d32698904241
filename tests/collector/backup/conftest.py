"""A collector's folder with something of everything, and an archive of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.backup.make import make_backup
from libcensus.collector.config import CollectorSettings
from libcensus.collector.pki.authority import Authority
from libcensus.collector.store.sql import SqlStore
from tests.collector.backup.moments import TAKEN
from tests.contract.specimens import NOON, Census, build, received

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.collector.backup.archive import Manifest


@dataclass(frozen=True)
class Machine:
    """One machine with a collector on it, all in one folder."""

    folder: Path

    @property
    def settings(self) -> CollectorSettings:
        state = self.folder / "state"
        web = self.folder / "etc" / "web.config.yml"
        plain = CollectorSettings(
            database=f"sqlite:///{state}/collector.db",
            pki_dir=f"{state}/pki",
            vex_dir=f"{state}/vex",
            advisories_dir=f"{state}/advisories",
            audit_log=f"{state}/audit.jsonl",
        )
        return replace(plain, web_config=str(web)) if web.exists() else plain

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "collector.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def files(self) -> dict[str, bytes]:
        """Return the content of every file that is not the database or its lock, by its path in the folder."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.name.startswith("collector.db")
        }

    def hosts(self) -> list[str]:
        with SqlStore.open(self.settings.database or "") as store:
            return [state.name for state in store.hosts()]

    def report(self, *names: str) -> None:
        with SqlStore.open(self.settings.database or "") as store:
            for number, name in enumerate(names):
                census = Census.of(name, name, (f"/opt/{name}", build(name)))
                store.put_facts(census.records)
                store.apply_reports([received(f"{number:032x}", census.address, NOON)])

    def back_up(self, output: Path, *, with_keys: bool = True, overwrite: bool = False) -> Manifest:
        return make_backup(
            self.settings,
            self.config if self.config.exists() else None,
            output,
            with_keys=with_keys,
            overwrite=overwrite,
            progress=lambda _what, _share: None,
            clock=lambda: TAKEN,
        )


def machine(folder: Path) -> Machine:
    """Return a machine without a collector on it yet."""
    for name in ("etc", "state"):
        (folder / name).mkdir(parents=True)
    return Machine(folder)


def filled(folder: Path, *hosts: str) -> Machine:
    """Return a machine with a collector that has something of everything."""
    made = machine(folder)
    made.report(*hosts)
    Authority.init(made.state / "pki", "libcensus", TAKEN)
    for name, text in (
        ("state/vex/accepted.json", "{}"),
        ("state/advisories/openssl.json", '{"libcensus_feed": 1}'),
        ("state/audit.jsonl", '{"event": "enrolled"}\n'),
        ("etc/collector.toml", 'report_interval = "15m"\n'),
        ("etc/web.config.yml", "basic_auth_users: {}\n"),
    ):
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with a collector that has something of everything; tests leave it as it is."""
    return filled(tmp_path_factory.mktemp("source"), "web-1", "web-2")


@pytest.fixture(scope="module")
def archive(source: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of it, with keys."""
    place = tmp_path_factory.mktemp("archive") / "census.zip"
    source.back_up(place)
    return place
