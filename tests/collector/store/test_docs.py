"""docs/store.md says what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from libcensus.collector.store.address import DatabaseAddress
from libcensus.collector.store.sql import SqlStore
from libcensus.collector.store.tables import METADATA, VERSION_TABLE
from tests.contract.specimens import NOON, STATIC_OPENSSL, SYSTEM_OPENSSL, Census, build, install, received

PAGE = (Path(__file__).parents[3] / "docs" / "store.md").read_text()


def test_every_table_is_described_and_no_other() -> None:
    section = PAGE.split("## Tables")[1].split("## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    described = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert described == METADATA.tables.keys() | {VERSION_TABLE}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_query_can_be_run(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"{tmp_path}/census.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    [query] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    of = build("b")
    installs = (install("/a", of), install("/b", of), install("/usr/bin/python3", of, SYSTEM_OPENSSL))
    census = Census.with_installs("web", "w", installs, (of,))
    with SqlStore.open(url) as store:
        store.put_facts(census.records)
        store.apply_reports([received("a" * 32, census.address, NOON)])
    engine = create_engine(DatabaseAddress.parse(url).url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query.strip().rstrip(";")))]
    engine.dispose()
    assert STATIC_OPENSSL.library is not None
    assert SYSTEM_OPENSSL.library is not None
    assert rows == [
        (STATIC_OPENSSL.library.version, "static", 2),
        (SYSTEM_OPENSSL.library.version, "system", 1),
    ]
