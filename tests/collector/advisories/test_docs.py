"""docs/advisories.md says what the code does: feeds, addresses, formats, bounds, exit codes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from libcensus.collector.advisories.checksum import LARGEST_CHECKSUM
from libcensus.collector.advisories.feeds.reading import MANAGERS
from libcensus.collector.advisories.feeds.registry import ADDRESSES, FEEDS
from libcensus.collector.advisories.fetch import Patience
from libcensus.collector.advisories.update import LEAST_SHARE
from libcensus.collector.errors import ConfigurationError, FeedError, FeedIdentityError, FeedUnreachableError

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "advisories.md").read_text()
MIB = 1024**2


def _table(heading: str, number: int = 0) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    tables: list[list[list[str]]] = []
    inside = False
    for line in section.splitlines():
        if line.startswith("|"):
            if not inside:
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        inside = line.startswith("|")
    return tables[number][2:]


def test_every_feed_is_documented_as_it_is() -> None:
    rows = [tuple(row) for row in _table("Feeds")]
    assert rows == [(f"`{feed.name}`", f"`{feed.urls[0]}`", feed.form, feed.decides) for feed in FEEDS]


def test_every_further_document_is_documented() -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in _table("Feeds", 1)}
    assert rows == {feed.each_name: feed.each for feed in FEEDS if feed.each is not None}


def test_the_bounds_are_documented() -> None:
    told = {}
    for names, packed, unpacked, files in _table("What never replaces a good state", 1):
        for name in names.split(", "):
            told[name.strip("`")] = (packed, unpacked, int(files))
    assert told == {
        feed.name: (
            f"{feed.bounds.packed // MIB} MiB",
            f"{feed.bounds.unpacked // MIB} MiB",
            feed.bounds.files,
        )
        for feed in FEEDS
    }
    assert f"fewer than {LEAST_SHARE * 100:.0f} % of the facts" in PAGE
    patience = Patience()
    assert f"may take {patience.step_seconds:g} s and a document {patience.total_seconds / 60:g} min" in PAGE


def test_what_is_verified_is_documented_of_everything_that_is_fetched() -> None:
    rows = _table("What is verified")
    named = [name.strip("`") for row in rows for name in row[0].removesuffix(" (`changes.csv`)").split(", ")]
    assert sorted(named) == sorted(ADDRESSES)
    compared = {name: row[1] for row in rows for name in row[0].replace("`", "").split(", ")}
    for feed in FEEDS:
        if feed.each is not None:
            suffix = feed.each_checksum
            assert compared[feed.each_name].startswith("none" if suffix is None else "SHA-256 in "), feed.name
            assert suffix is None or f"{suffix}`" in next(row[1] for row in rows if f"`{feed.each_name}`" in row[0])
    assert f"at most {LARGEST_CHECKSUM} bytes" in PAGE


def test_exit_codes_are_documented() -> None:
    codes = {int(row[0]): row[1] for row in _table("Exit codes")}
    assert codes.keys() == {0, 1, 2, 3, 4, 5, 6, 70}
    assert "unreachable" in codes[FeedUnreachableError.exit_code]
    assert "prove" in codes[FeedIdentityError.exit_code]
    assert "broken" in codes[FeedError.exit_code]
    assert "setting" in codes[ConfigurationError.exit_code]


def test_addresses_are_https_and_no_feed_is_named_twice() -> None:
    for name, urls in ADDRESSES.items():
        assert urls
        for url in urls:
            assert urlsplit(url).scheme == "https", name
    assert len(ADDRESSES) == len(FEEDS) + sum(feed.each is not None for feed in FEEDS)
    assert all((feed.read_each is None) == (feed.each is None) == (feed.each_bounds is None) for feed in FEEDS)
    assert all(feed.each is not None for feed in FEEDS if feed.each_checksum is not None)
    assert set(MANAGERS.values()) == {"dpkg", "rpm", "apk"}
