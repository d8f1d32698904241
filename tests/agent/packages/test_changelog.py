"""Changelogs: each rule of what counts as fixed, completeness, and texts of any kind."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.errors import UnreadableError
from libcensus.agent.packages.changelog import (
    Changelog,
    fixes_of,
    from_version,
    judge_completeness,
    parse_debian_changelog,
    parse_rpm_changelog,
    unpack_changelog,
)
from libcensus.facts.vocabulary import ChangelogState

SIGNED = " -- Some Body <some@example.com>  Mon, 01 Jan 2024 00:00:00 +0000\n"


def entry(version: str, *lines: str) -> str:
    body = "".join(f"{line}\n" for line in lines)
    return f"openssl ({version}) unstable; urgency=medium\n\n{body}\n{SIGNED}\n"


def fixed(*entries: str) -> dict[str, str]:
    """Return advisory to version of a changelog whose entries are given newest first."""
    changelog = parse_debian_changelog("".join(entries))
    assert len(changelog.entries) == len(entries)
    return {fix.advisory: fix.version for fix in fixes_of(changelog.entries, "installed")}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["  * Fix CVE-2023-0001."], {"CVE-2023-0001"}, id="plain"),
        pytest.param(["  * New version", "   - CVE-2023-0001 (title)", "   - CVE-2023-0002"], {1, 2}, id="list"),
        pytest.param(["  * CVE-2023-0001, CVE-2023-0002 and", "    CVE-2023-0003"], {1, 2, 3}, id="several in a point"),
        pytest.param(["  * Fix CVE-2023-", "    0001"], {1}, id="cut at the line's end"),
        pytest.param(["  * debian/patches/cve-2023-0001.patch: new"], {1}, id="lower case, in a patch's name"),
        pytest.param(["  * Fix CAN-2004-0079"], {"CVE-2004-0079"}, id="old name of the same"),
        pytest.param(["  * Fix CVE-2015-0293 (not affected, SSLv2 disabled)"], set(), id="not affected"),
        pytest.param(["  * Not affected by CVE-2023-0001 because x is disabled."], set(), id="not affected, before"),
        pytest.param(["  * CVE-2023-0001 does not affect this version"], set(), id="does not affect"),
        pytest.param(["  * This isn't affected by CVE-2023-0001"], set(), id="isn't"),
        pytest.param(["  * The fix for CVE-2023-0001 is not backported"], set(), id="not backported"),
        pytest.param(["  * CVE-2023-0001: not yet fixed"], set(), id="not yet fixed"),
        pytest.param(["  * CVE-2023-0001 remains unfixed"], set(), id="remains unfixed"),
        pytest.param(["  * CVE-2023-0001, compatible with unfixed clients"], {1}, id="somebody else is unfixed"),
        pytest.param(["  * CVE-2023-0001: Partial fix"], set(), id="partial fix"),
        pytest.param(["  * CVE-2023-0001: partial address comparison"], {1}, id="partial in a title"),
        pytest.param(["  * CVE-2023-0001 (not affected), CVE-2023-0002"], {2}, id="a remark speaks of its own alone"),
        pytest.param(["  * Fix CVE-2023-0001. Not affected by CVE-2023-0002."], {1}, id="each sentence by itself"),
        pytest.param(
            ["  * Issues not yet addressed:", "    - CVE-2023-0001", "    - CVE-2023-0002: x"], set(), id="introduced"
        ),
        pytest.param(
            ["  * Issues not yet addressed:", "    - CVE-2023-0001", "", "  * Fix CVE-2023-0002"], {2}, id="next point"
        ),
        pytest.param(["  * Certificate policy check not enabled (CVE-2023-0001)"], {1}, id="not, of something else"),
        pytest.param(["  * Drop CVE-2023-0001.patch, included upstream"], {1}, id="patch that upstream has"),
        pytest.param(["  * Remove CVE-2023-0001.patch: it causes a regression"], set(), id="patch that broke"),
        pytest.param(["  * Revert upstream's change to fix CVE-2023-0001"], {1}, id="fixed by a revert"),
        pytest.param(['  * Revert "Revert "Fix CVE-2023-0001""'], {1}, id="revert of a revert"),
        pytest.param(["  * Fix CVE-1999-12", "  * fix ABCVE-2023-0001"], set(), id="no ids"),
    ],
)
def test_what_a_point_says(lines: list[str], expected: set[str | int]) -> None:
    names = {one if isinstance(one, str) else f"CVE-2023-{one:04}" for one in expected}
    assert fixed(entry("1-1", *lines)).keys() == names


def test_oldest_version_counts() -> None:
    newest_first = [
        entry("3-1", "  * Alternative fix for CVE-2022-4304"),
        entry("2-1", "  * CVE-2022-4304"),
        entry("1-1", "  * x"),
    ]
    assert fixed(*newest_first) == {"CVE-2022-4304": "2-1"}


@pytest.mark.parametrize(
    "words",
    [
        '  * Revert "CVE-2023-0001"',
        "  * Revert the fix for CVE-2023-0001, it broke others.",
        "  * Temporarily revert the patch that fixes CVE-2023-0001",
        "  * Back out the fix of CVE-2023-0001",
        "  * The fix for CVE-2023-0001 was reverted",
        "  * Revert the following changes:\n    - CVE-2023-0001.patch",
        "  * SECURITY REGRESSION: x\n    - debian/patches/CVE-2023-0001.patch: removed pending further investigation",
    ],
)
def test_revert_takes_back(words: str) -> None:
    before = entry("1-1", "  * Fix CVE-2023-0001, CVE-2023-0002")
    assert fixed(entry("2-1", words), before) == {"CVE-2023-0002": "1-1"}


def test_fix_after_a_revert_counts_from_there() -> None:
    newest_first = [
        entry("3-1", "  * Fix CVE-2023-0001 again"),
        entry("2-1", "  * Revert the fix for CVE-2023-0001"),
        entry("1-1", "  * Fix CVE-2023-0001"),
    ]
    assert fixed(*newest_first) == {"CVE-2023-0001": "3-1"}


def test_negation_takes_nothing_back() -> None:
    assert fixed(entry("2-1", "  * CVE-2023-0001: 3.x is not affected"), entry("1-1", "  * Fix CVE-2023-0001")) == {
        "CVE-2023-0001": "1-1"
    }


def test_words_are_kept_as_evidence() -> None:
    changelog = parse_debian_changelog(entry("1-1", "  * CVE-2023-0001 (a long", "    title)", "  * " + "x" * 900))
    (fix,) = fixes_of(changelog.entries, "1-1")
    assert fix.text == "CVE-2023-0001 (a long title)"


def test_entries_above_the_installed_version_do_not_count() -> None:
    changelog = parse_debian_changelog(entry("2-1", "  * CVE-2023-0002") + entry("1-1", "  * CVE-2023-0001"))
    entries = from_version(changelog, "1-1")
    assert entries is not None
    assert [fix.advisory for fix in fixes_of(entries, "1-1")] == ["CVE-2023-0001"]
    assert from_version(changelog, "3-1") is None


TRIMMED = "# Older entries have been removed from this changelog.\n# To read the complete changelog use `apt …`.\n"
UBUNTU = "# For older changelog entries, run 'apt-get changelog openssl'\n"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        pytest.param(entry("1-1", "  * Initial release."), ChangelogState.COMPLETE, id="initial release"),
        pytest.param(entry("1-1", "  * First Debian package"), ChangelogState.COMPLETE, id="first package"),
        pytest.param(entry("1-1", "  * Initial release.") + TRIMMED, ChangelogState.TRUNCATED, id="Debian's notice"),
        pytest.param(entry("1-1", "  * New upstream.") + UBUNTU, ChangelogState.TRUNCATED, id="Ubuntu's notice"),
        pytest.param(entry("1-1", "  * New upstream."), ChangelogState.UNKNOWN, id="no proof in either direction"),
        pytest.param("Changes in 3.0\n\n * Initial release\n", ChangelogState.UNKNOWN, id="another form"),
    ],
)
def test_completeness_of_debians(text: str, state: ChangelogState) -> None:
    assert judge_completeness(parse_debian_changelog(text), has_notices=True)[0] is state


def rpm(*entries: tuple[str, str]) -> Changelog:
    count = len(entries)
    return parse_rpm_changelog(
        "Packages",
        range(count * 86400 * 365, 0, -86400 * 365),
        [author.encode() for author, _ in entries],
        [text.encode() for _, text in entries],
    )


@pytest.mark.parametrize(
    ("author", "version"),
    [
        pytest.param("Some Body <a@example.com> - 1:1.1.1k-7", "1:1.1.1k-7", id="Fedora's custom"),
        pytest.param("Some Body <a@example.com> 1.0.2k-21.el7_9", "1.0.2k-21.el7_9", id="without the hyphen"),
        pytest.param("Some Body <a@example.com> [3.0.1-41]", "3.0.1-41", id="in brackets"),
        pytest.param("a@suse.com", None, id="SUSE's"),
        pytest.param("Some Body <some-body@1-2.example.com>", None, id="an address is no version"),
    ],
)
def test_version_of_an_rpm_entry(author: str, version: str | None) -> None:
    assert rpm((author, "- x")).entries[0].version == version


def test_fixes_of_an_rpm_changelog() -> None:
    changelog = rpm(
        ("A <a@b.c> - 1-3", "- Revert the fix for CVE-2021-0003"),
        ("A <a@b.c> - 1-2", "- Fix CVE-2021-0001\n  Resolves: CVE-2021-0001\n- Not affected by CVE-2021-0002"),
        ("a@suse.com", "- fix for CVE-2021-0004 [bsc#1]"),
        ("A <a@b.c> - 1-1", "- CVE-2021-0003"),
    )
    # An entry without a version counts for the next newer one.
    assert {fix.advisory: fix.version for fix in fixes_of(changelog.entries, "1-3")} == {
        "CVE-2021-0001": "1-2",
        "CVE-2021-0004": "1-2",
    }


def test_entries_without_any_version_count_for_the_installed_one() -> None:
    (fix,) = fixes_of(rpm(("a@suse.com", "- CVE-2021-0004")).entries, "3.0.8-150500.5")
    assert fix.version == "3.0.8-150500.5"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("- Initial build", ChangelogState.COMPLETE),
        ("- inital packaging\n- changes from base:", ChangelogState.COMPLETE),
        ("- Update to 3.0", ChangelogState.UNKNOWN),
    ],
)
def test_completeness_of_rpms(text: str, state: ChangelogState) -> None:
    found, reason = judge_completeness(rpm(("A <a@b.c> - 1-1", text)), has_notices=False)
    assert found is state
    assert "1-1" in reason


def test_unpacking_is_bounded() -> None:
    assert unpack_changelog(gzip.compress(b"x" * 100), 100) == "x" * 100
    with pytest.raises(UnreadableError, match="too-large"):
        unpack_changelog(gzip.compress(b"\0" * (1 << 20)), 100)
    with pytest.raises(UnreadableError, match="cut"):
        unpack_changelog(gzip.compress(b"x" * 100)[:-9])
    with pytest.raises(UnreadableError, match="damaged-changelog"):
        unpack_changelog(b"no gzip")


WORDS = st.sampled_from(
    ["CVE-2023-0001", "CVE-2023-", "(", ")", ":", ".", "revert", "not affected", "\n  * ", "\n\t-", "\n\n", "x", "\0"]
)
TEXTS = st.one_of(st.text(), st.lists(WORDS).map(" ".join))


@given(text=TEXTS, head=st.booleans())
def test_any_text_is_read(text: str, head: bool) -> None:
    changelog = parse_debian_changelog(f"openssl (1-1) unstable; urgency=low\n {text}\n" if head else text)
    fixes_of(changelog.entries, "1-1")
    judge_completeness(changelog, has_notices=True)


@given(entries=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(), TEXTS)))
def test_any_rpm_changelog_is_read(entries: list[tuple[int, bytes, str]]) -> None:
    times, authors, texts = [list(part) for part in zip(*entries, strict=True)] or ([], [], [])
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    changelog = parse_rpm_changelog("x", times, authors, encoded)
    assert len(changelog.entries) == len(entries)
    fixes_of(changelog.entries, "1-1")


@given(data=st.binary())
def test_any_bytes_are_unpacked_or_refused(data: bytes) -> None:
    for blob in (data, gzip.compress(b"openssl")[:10] + data):
        try:
            unpack_changelog(blob, 1000)
        except UnreadableError:
            continue


VERSIONS = st.from_regex(r"[0-9][0-9a-z.+~]{0,8}-[0-9]{1,2}", fullmatch=True)
POINTS = st.lists(st.integers(1, 9999).map(lambda n: f"CVE-2023-{n:04}"), max_size=4)


@given(entries=st.lists(st.tuples(VERSIONS, POINTS), min_size=1, max_size=6))
def test_written_changelogs_come_back(entries: list[tuple[str, list[str]]]) -> None:
    text = "".join(entry(version, *(f"  * {name}: title" for name in names)) for version, names in entries)
    changelog = parse_debian_changelog(text)
    assert [one.version for one in changelog.entries] == [version for version, _ in entries]
    expected: dict[str, str] = {}
    for version, names in reversed(entries):
        for name in names:
            expected.setdefault(name, version)
    assert {fix.advisory: fix.version for fix in fixes_of(changelog.entries, "x")} == expected


LIBSSL = Path("/usr/share/doc/libssl3/changelog.Debian.gz")


@pytest.mark.skipif(not LIBSSL.exists(), reason="this machine has no documentation of libssl3")
def test_changelog_of_this_machines_openssl() -> None:
    text = unpack_changelog(LIBSSL.read_bytes())
    changelog = parse_debian_changelog(text, str(LIBSSL))
    assert changelog.entries[0].source == "openssl"
    assert len(changelog.entries) == len(re.findall(r"^ -- ", text, re.MULTILINE))
    fixes = {fix.advisory: fix.version for fix in fixes_of(changelog.entries, "x")}
    # Debian 12's: none of its entries is a negation or a revert, so each name counts, at the entry it stands in.
    assert fixes.keys() == set(re.findall(r"CVE-\d{4}-\d{4,}", text))
    assert fixes["CVE-2022-4304"] == "3.0.8-1"
    assert fixes["CVE-2023-5363"] == "3.0.11-1~deb12u2"
    assert judge_completeness(changelog, has_notices=True)[0] is ChangelogState.TRUNCATED
