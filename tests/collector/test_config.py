"""Settings: which source wins, what is allowed, and that every refusal names place, name and remedy."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from libcensus.collector.config import (
    SETTINGS,
    CollectorSettings,
    default_database,
    hide_password,
    load_settings,
    show_bytes,
    show_seconds,
    show_settings,
    state_folder,
)
from libcensus.collector.errors import ConfigurationError

HOME = {"HOME": "/home/someone"}
_PLACES = frozenset(
    {
        *("database", "advisories_dir", "vex_dir", "speeds_dir", "pki_dir", "audit_log"),
        *("enroll_listen", "tls_certificate", "tls_key", "tls_client_ca", "web_config"),
    }
)
"""Settings whose default depends on who runs the collector, or that are absent by default."""

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "collector-cli.md"


def load(
    flags: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    text: str | None = None,
    folder: Path | None = None,
) -> Any:
    absent = Path("/nonexistent/collector.toml")
    if text is not None:
        assert folder is not None
        absent = folder / "collector.toml"
        absent.write_text(text)
    return load_settings(flags or {}, {**HOME, **(environment or {})}, default_config=absent)


def test_without_any_source_the_defaults_hold() -> None:
    loaded = load()
    assert loaded.settings.listen == "127.0.0.1:9444"
    assert loaded.settings.http_listen == "127.0.0.1:9445"
    assert loaded.settings.metrics_detail == "install"
    assert loaded.settings.series_limit == 100_000
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == ()


def test_a_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    text = 'report_interval = "1m"\nworkers = 3\nlisten = "127.0.0.1:3"\nlog_level = "error"\n'
    environment = {
        "LIBCENSUS_COLLECTOR_REPORT_INTERVAL": "2m",
        "LIBCENSUS_COLLECTOR_WORKERS": "4",
        "LIBCENSUS_COLLECTOR_MAX_QUEUED": "7",
    }
    loaded = load({"report_interval": "3m", "listen": None}, environment, text, tmp_path)
    settings = loaded.settings
    assert (settings.report_interval, settings.workers, settings.listen) == (180.0, 4, "127.0.0.1:3")
    assert (settings.max_queued, settings.log_level, settings.log_format) == (7, "error", "text")
    assert loaded.origins["report_interval"] == "flag --report-interval"
    assert loaded.origins["workers"] == "environment LIBCENSUS_COLLECTOR_WORKERS"
    assert loaded.origins["listen"] == f"file {tmp_path}/collector.toml"
    assert loaded.origins["log_format"] == "default"


def test_every_setting_can_come_from_every_source(tmp_path: Path) -> None:
    values: dict[str, str] = {
        "listen": "127.0.0.1:1",
        "http_listen": "127.0.0.1:2",
        "database": "sqlite:////tmp/x.db",
        "report_interval": "20m",
        "metrics_labels": "env,example.com/zone",
        "metrics_detail": "fleet",
        "metrics_advisories": "all",
        "shard": "2/3",
        "series_limit": "17",
        "max_message_bytes": "1MiB",
        "max_upload_bytes": "2MiB",
        "max_upload_facts": "18",
        "workers": "19",
        "max_concurrent_calls": "20",
        "max_queued": "21",
        "host_calls_per_second": "24",
        "host_burst": "25",
        "max_connections": "26",
        "call_seconds": "22s",
        "grace_seconds": "23s",
        "advisories_dir": "/tmp/advisories",
        "advisory_urls": "debian=https://mirror.example/json alpine=https://mirror.example/a alpine=https://mirror.example/b",
        "vex_dir": "/tmp/vex",
        "speeds_dir": "/tmp/speeds",
        "enroll_listen": "127.0.0.1:4",
        "pki_dir": "/tmp/pki",
        "trust_domain": "census.example",
        "server_names": "census.example,192.0.2.7",
        "tls_certificate": "/tmp/server.pem",
        "tls_key": "/tmp/server.key",
        "tls_client_ca": "/tmp/clients.pem",
        "certificate_lifetime": "1d",
        "renewal_grace": "2d",
        "web_config": "/tmp/web.yml",
        "http_open": "true",
        "audit_log": "/tmp/audit.jsonl",
        "log_format": "json",
        "log_level": "debug",
    }
    assert (
        values.keys() == {setting.name for setting in SETTINGS} == {field.name for field in fields(CollectorSettings)}
    )
    from_flags = load(values)
    from_environment = load(environment={setting.environment: values[setting.name] for setting in SETTINGS})
    text = "".join(f'{name} = "{value}"\n' for name, value in values.items())
    from_file = load(text=text, folder=tmp_path)
    assert from_flags.settings == from_environment.settings == from_file.settings
    assert from_file.settings.max_upload_bytes == 2 * 1024**2
    assert {origin.split(" ")[0] for origin in from_file.origins.values()} == {"file"}


def test_addresses_of_feeds_are_a_table_in_the_file(tmp_path: Path) -> None:
    text = (
        '[advisory_urls]\ndebian = "https://mirror.example/json"\nalpine = ["https://a.example", "https://b.example"]\n'
    )
    addresses = load(text=text, folder=tmp_path).settings.advisory_urls
    assert addresses == {
        "debian": ("https://mirror.example/json",),
        "alpine": ("https://a.example", "https://b.example"),
    }
    shown = {name: value for name, value, _ in show_settings(load(text=text, folder=tmp_path))}
    assert (
        shown["advisory_urls"] == "debian=https://mirror.example/json alpine=https://a.example alpine=https://b.example"
    )


def test_toml_numbers_are_as_good_as_texts(tmp_path: Path) -> None:
    settings = load(text="report_interval = 90.5\nmax_message_bytes = 100000\nworkers = 5\n", folder=tmp_path).settings
    assert (settings.report_interval, settings.max_message_bytes, settings.workers) == (90.5, 100_000, 5)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        pytest.param("listen", "", "not empty", id="empty text"),
        pytest.param("report_interval", "often", "such as 90s, 15m, 1h", id="no time"),
        pytest.param("report_interval", "9s", "from 10s to 30d", id="time too short"),
        pytest.param("report_interval", "31d", "from 10s to 30d", id="time too long"),
        pytest.param("report_interval", "-1h", "from 10s to 30d", id="negative time"),
        pytest.param("report_interval", "nan", "from 10s to 30d", id="not a number"),
        pytest.param("max_message_bytes", "4MB", "such as 4MiB", id="no size"),
        pytest.param("max_message_bytes", "1", "from 64KiB to 256MiB", id="size too small"),
        pytest.param("metrics_detail", "all", "one of fleet, host, install", id="no choice"),
        pytest.param("log_format", "xml", "one of text, json, journal", id="no format"),
        pytest.param("advisory_urls", "debian=http://mirror.example", "NAME=https://", id="address without TLS"),
        pytest.param("advisory_urls", "https://mirror.example", "NAME=https://", id="address of nothing"),
        pytest.param("workers", "1", "from 2 to 1024", id="number too small"),
        pytest.param("workers", "many", "a whole number", id="no number"),
        pytest.param("workers", "1.5", "a whole number", id="no whole number"),
        pytest.param("trust_domain", "Census", "1 to 63 of a-z", id="no trust domain"),
        pytest.param("trust_domain", "a/b", "1 to 63 of a-z", id="trust domain with a path"),
        pytest.param("metrics_labels", "env,-", "keys of labels", id="no key"),
        pytest.param("metrics_advisories", "-1", "all, or a whole number from 0", id="fewer than none"),
        pytest.param("metrics_advisories", "some", "all, or a whole number from 0", id="no number of advisories"),
        pytest.param("shard", "0/3", "I/N, with I from 1 to N", id="shards are counted from 1"),
        pytest.param("shard", "4/3", "I/N, with I from 1 to N", id="more than there are shards"),
        pytest.param("shard", "x", "such as 2/3", id="no shard"),
        pytest.param("server_names", "census_example/x", "DNS names and IP addresses", id="no name"),
        pytest.param("certificate_lifetime", "9m", "from 10m to 397d", id="life too short"),
        pytest.param("renewal_grace", "367d", "from 0s to 366d", id="grace too long"),
        pytest.param("http_open", "perhaps", "true or false", id="no switch"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_wherever_it_comes_from(
    tmp_path: Path, name: str, value: str, allowed: str
) -> None:
    sources: list[tuple[dict[str, Any], str]] = [
        ({"flags": {name: value}}, f"--{name.replace('_', '-')}"),
        ({"environment": {f"LIBCENSUS_COLLECTOR_{name.upper()}": value}}, f"LIBCENSUS_COLLECTOR_{name.upper()}"),
        ({"text": f'{name} = "{value}"', "folder": tmp_path}, f"{tmp_path}/collector.toml: {name}"),
    ]
    for source, place in sources:
        with pytest.raises(ConfigurationError) as refused:
            load(**source)
        assert str(refused.value).startswith(f"{place}: ")
        assert allowed in str(refused.value)


def test_names_are_separated_by_commas_or_a_list_in_the_file(tmp_path: Path) -> None:
    names = ("census.example", "2001:db8::7", "*.example")
    assert load(flags={"server_names": ",".join(names)}).settings.server_names == names
    assert load(flags={"server_names": " ".join((*names, *names))}).settings.server_names == names
    assert load(text=f"server_names = {list(names)}", folder=tmp_path).settings.server_names == names
    assert load().settings.server_names == ()


@pytest.mark.parametrize("value", ["true", "[1]", "{a = 1}", "1979-05-27", "nan", "inf"])
@pytest.mark.parametrize("name", ["workers", "report_interval", "max_message_bytes", "listen", "log_level"])
def test_toml_of_another_type_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"collector.toml: {name}: "):
        load(text=f"{name} = {value}", folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"listne = 'x'", "listne: is no setting; did you mean listen?", id="misspelt"),
        pytest.param(b"zzzzzz = 1", "zzzzzz: is no setting; allowed are listen, ", id="unknown"),
        pytest.param(b"[server]\nlisten = 'x'", "server: is no setting", id="section"),
        pytest.param(b"listen = ", "is not TOML", id="no TOML"),
        pytest.param(b"listen = '\xff'", "is not UTF-8", id="no text"),
    ],
)
def test_a_file_that_means_nothing_is_refused_with_its_name(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError) as refused:
        load_settings({}, HOME, path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)


def test_a_file_that_is_named_must_exist_and_the_default_one_need_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings({}, HOME, tmp_path / "absent.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings({}, {**HOME, "LIBCENSUS_COLLECTOR_CONFIG": str(tmp_path / "absent.toml")})
    assert load().settings.workers == 64


def test_the_environment_can_name_the_file_and_a_flag_another(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("workers = 11")
    two.write_text("workers = 12")
    environment = {**HOME, "LIBCENSUS_COLLECTOR_CONFIG": str(one)}
    assert load_settings({}, environment).settings.workers == 11
    assert load_settings({}, environment, two).settings.workers == 12


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"workers": "300"}, "max_concurrent_calls: 256 is less than workers"),
        ({"max_message_bytes": "64MiB"}, "max_upload_bytes: 32MiB is less than max_message_bytes"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(flags: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(flags)


def test_a_variable_that_is_no_setting_is_warned_about_except_those_of_kubernetes() -> None:
    environment = {
        "LIBCENSUS_COLLECTOR_LISTNE": "x",
        "LIBCENSUS_COLLECTOR_PORT": "tcp://10.0.0.1:9444",
        "LIBCENSUS_COLLECTOR_PORT_9444_TCP": "tcp://10.0.0.1:9444",
        "LIBCENSUS_COLLECTOR_SERVICE_HOST": "10.0.0.1",
        "LIBCENSUS_COLLECTOR_SERVICE_PORT_GRPC": "9444",
    }
    (warning,) = load(environment=environment).warnings
    assert "LIBCENSUS_COLLECTOR_LISTNE" in warning
    assert "did you mean LIBCENSUS_COLLECTOR_LISTEN?" in warning


@pytest.mark.parametrize(
    ("environment", "user", "folder"),
    [
        pytest.param({"XDG_STATE_HOME": "/state"}, 0, "/var/lib/libcensus", id="root"),
        pytest.param({"XDG_STATE_HOME": "/state"}, 1000, "/state/libcensus", id="XDG"),
        pytest.param({"XDG_STATE_HOME": "relative"}, 1000, "/home/someone/.local/state/libcensus", id="relative XDG"),
        pytest.param({}, 1000, "/home/someone/.local/state/libcensus", id="home"),
    ],
)
def test_state_lies_where_the_user_may_write(environment: dict[str, str], user: int, folder: str) -> None:
    assert state_folder({**HOME, **environment}, user) == Path(folder)
    assert default_database({**HOME, **environment}, user) == f"sqlite:///{folder}/collector.db"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:geheim@db/census", "postgresql://me:***@db/census"),
        ("postgresql://me:ge@heim@db/census", "postgresql://me:***@db/census"),
        ("postgresql://me@db/census", "postgresql://me@db/census"),
        ("postgresql://db/census?user=me&password=geheim&x=y", "postgresql://db/census?user=me&password=***&x=y"),
        ("sqlite:////srv/a@b:c.db", "sqlite:////srv/a@b:c.db"),
    ],
)
def test_passwords_are_never_shown(url: str, shown: str) -> None:
    assert hide_password(url) == shown
    rows = {name: value for name, value, _ in show_settings(load({"database": url}))}
    assert rows["database"] == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (0.5, "0.5s"), (90, "90s"), (120, "2m"), (3600, "1h"), (172800, "2d")]
)
def test_times_are_shown_as_they_are_written(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(1, "1B"), (1024, "1KiB"), (1500, "1500B"), (4 * 1024**2, "4MiB"), (1024**3, "1GiB")]
)
def test_sizes_are_shown_as_they_are_written(count: int, shown: str) -> None:
    assert show_bytes(count) == shown


def test_the_documentation_has_every_setting_with_its_default_and_no_other() -> None:
    text = DOCUMENT.read_text()
    section = text.split("## Settings", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| `")]
    documented = {cells[0].strip().strip("`"): cells[1].strip().strip("`") for cells in rows}
    defaults = CollectorSettings()
    expected = {
        setting.name: setting.show(value)
        for setting in SETTINGS
        if (value := getattr(defaults, setting.name)) is not None
    }
    assert {name: value for name, value in documented.items() if name not in _PLACES} == expected
    assert documented.keys() >= _PLACES
