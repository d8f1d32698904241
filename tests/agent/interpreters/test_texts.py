"""The texts around an interpreter: build variables, flags, versions."""

from __future__ import annotations

import json
import sysconfig as python_sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.elf.reader import BytesSource
from libcensus.agent.interpreters.flags import flags_of, x86_64_level
from libcensus.agent.interpreters.sysconfig import WANTED, configure_arguments, parse_sysconfig
from libcensus.agent.interpreters.version import (
    parse_build_details,
    parse_patchlevel,
    upstream_version,
    version_texts,
)

PPRINT = """# system configuration generated and used by the sysconfig module
build_time_vars = {'ABIFLAGS': 't',
 'AR': 'gcc-ar',
 'CONFIG_ARGS': "'--enable-shared' '--prefix=/usr' "
                "'--with-lto' 'CFLAGS=-g -O2'",
 'NOT_PREFIX': 'prefix',
 'Py_DEBUG': 0,
 'Py_GIL_DISABLED': 1,
 'prefix': '/usr',
 'zlast': 'x'}
"""
UV = """# system configuration generated and used by the sysconfig module
build_time_vars = {
    "ABIFLAGS": "",
    "CFLAGS": "-fno-strict-overflow -march=x86-64-v3 -O3",
    "CONFIG_ARGS": "'--prefix=/install' '--with-openssl=/tools/deps' '--enable-optimizations'",
    "Py_DEBUG": 1,
    "prefix": "/home/u/.local/share/uv/python/cpython-3.12.6-linux-x86_64-gnu"
}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            PPRINT,
            {
                "ABIFLAGS": "t",
                "CONFIG_ARGS": "'--enable-shared' '--prefix=/usr' '--with-lto' 'CFLAGS=-g -O2'",
                "Py_DEBUG": "0",
                "Py_GIL_DISABLED": "1",
                "prefix": "/usr",
            },
            id="as CPython prints it",
        ),
        pytest.param(
            UV,
            {
                "ABIFLAGS": "",
                "CFLAGS": "-fno-strict-overflow -march=x86-64-v3 -O3",
                "CONFIG_ARGS": "'--prefix=/install' '--with-openssl=/tools/deps' '--enable-optimizations'",
                "Py_DEBUG": "1",
                "prefix": "/home/u/.local/share/uv/python/cpython-3.12.6-linux-x86_64-gnu",
            },
            id="as uv rewrites it",
        ),
        pytest.param("from _sysconfigdata_x import *\n", None, id="no variables"),
        pytest.param("build_time_vars = {'prefix': __import__('os').getcwd()}", {}, id="code is no value"),
        pytest.param("build_time_vars = {'prefix': 'a' 'b', 'prefix': 'c'}", {"prefix": "ab"}, id="first of two"),
        pytest.param("build_time_vars = {'prefix': '\\x41\\n'}", {"prefix": "A\n"}, id="escapes"),
        pytest.param("build_time_vars = {'prefix': '" + "a" * 70_000 + "'}", {}, id="absurdly long value"),
    ],
)
def test_build_variables(text: str, expected: dict[str, str] | None) -> None:
    assert parse_sysconfig(text) == expected


def test_build_variables_of_this_interpreter_agree_with_its_own() -> None:
    folder = Path(python_sysconfig.get_path("stdlib"))
    files = [file for file in folder.glob("_sysconfigdata*.py") if "build_time_vars" in file.read_text()]
    if not files:
        pytest.skip("this interpreter has no such file")
    values = parse_sysconfig(files[0].read_text())
    assert values
    for name in set(WANTED) - {"prefix"}:
        own = python_sysconfig.get_config_var(name)
        if own is not None and name in values and name not in ("CFLAGS", "LDFLAGS"):
            assert values[name] == str(own)
    assert "CONFIG_ARGS" in values


@given(st.text(max_size=300))
def test_any_text_is_parsed_without_error(text: str) -> None:
    values = parse_sysconfig("build_time_vars = {" + text)
    assert values is not None
    assert set(values) <= set(WANTED)


def test_configure_arguments_are_split_at_their_quotes() -> None:
    assert configure_arguments({"CONFIG_ARGS": "'--a' 'CFLAGS=-g -O2'"}) == ["--a", "CFLAGS=-g -O2"]
    assert configure_arguments({}) == []


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        pytest.param({}, [], id="nothing said"),
        pytest.param({"CONFIG_ARGS": "'--enable-optimizations' '--with-lto=full'"}, ["lto", "pgo"], id="configured"),
        pytest.param({"CONFIG_ARGS": "'--with-lto=no' '--enable-bolt=no'"}, [], id="configured off"),
        pytest.param(
            {"PY_LDFLAGS": "-O2 -flto=auto", "PY_CORE_CFLAGS": "-fprofile-use=x"}, ["lto", "pgo"], id="compiler's words"
        ),
        pytest.param({"PGO_PROF_USE_FLAG": "-fprofile-use"}, [], id="the flag that would be used is none"),
        pytest.param({"Py_DEBUG": "1", "Py_GIL_DISABLED": "1"}, ["debug", "free-threaded"], id="values"),
        pytest.param({"Py_DEBUG": "0", "Py_GIL_DISABLED": "0"}, [], id="values off"),
        pytest.param(
            {"CONFIG_ARGS": "'--enable-experimental-jit' '--with-tail-call-interp'"}, ["jit", "tail-call"], id="3.14"
        ),
        pytest.param({"CONFIG_ARGS": "'--enable-experimental-jit=yes-off'"}, [], id="built in and switched off"),
        pytest.param({"DEF_MAKE_ALL_RULE": "profile-opt"}, ["pgo"], id="make's default rule"),
    ],
)
def test_flags(values: dict[str, str], flags: list[str]) -> None:
    assert sorted(flags_of(values)) == flags


@pytest.mark.parametrize(
    ("cflags", "level"), [("-O3 -march=x86-64-v3", 3), ("-march=x86-64-v2", 2), ("-march=x86-64", None), ("", None)]
)
def test_level_that_the_compiler_was_told(cflags: str, level: int | None) -> None:
    found = x86_64_level({"CFLAGS": cflags})
    assert (None if found is None else found[0]) == level


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ('#define PY_VERSION      \t"3.13.0"', "3.13.0"),
        ('#define PY_VERSION "3.15.0a1+"', "3.15.0a1+"),
        ('#define PY_VERSION "3.12.0rc2"', "3.12.0rc2"),
        ("#define PY_VERSION_HEX 0x030d00f0", None),
        ('/* #define PY_VERSION "3.1.1" */', None),
        ("", None),
    ],
)
def test_patchlevel(line: str, version: str | None) -> None:
    assert parse_patchlevel(f"/* Version */\n{line}\n#define PY_MICRO_VERSION 0\n") == version


def details(minor: object, micro: int, level: str, serial: int) -> str:
    version = {"major": 3, "minor": minor, "micro": micro, "releaselevel": level, "serial": serial}
    return json.dumps({"implementation": {"version": version}})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param(
            details(14, 2, "final", 0),
            "3.14.2",
            id="final",
        ),
        pytest.param(
            details(15, 0, "alpha", 4),
            "3.15.0a4",
            id="alpha",
        ),
        pytest.param(
            details(14, 0, "candidate", 1),
            "3.14.0rc1",
            id="candidate",
        ),
        pytest.param('{"implementation": {}}', None, id="no version"),
        pytest.param("[1", None, id="no JSON"),
        pytest.param("[" * 100_000, None, id="deep JSON"),
        pytest.param(
            details("x", 1, "final", 0),
            None,
            id="no number",
        ),
    ],
)
def test_build_details(text: str, version: str | None) -> None:
    assert parse_build_details(text) == version


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("3.11.2-6+deb12u6", "3.11.2"),
        ("1:3.9.2+dfsg-1", "3.9.2"),
        ("3.14.0~rc1-1", "3.14.0rc1"),
        ("3.12.0~b4-1ubuntu1", "3.12.0b4"),
        ("2.7.18-8ubuntu1~20.04.7", "2.7.18"),
        ("528.0.0.1-0", None),
        ("20240101", None),
    ],
)
def test_upstream_version_of_a_package(package: str, version: str | None) -> None:
    assert upstream_version(package) == version


@pytest.mark.parametrize(
    ("data", "minor", "found"),
    [
        pytest.param(b"\x003.13.0\0", "3.13", {"3.13.0": 1}, id="alone"),
        pytest.param(b"/root/.pyenv/versions/3.13.0\0", "3.13", {"3.13.0": 22}, id="in the tail of a path"),
        pytest.param(b"\x003.13.0rc2\0\x003.13.0\0", "3.13", {"3.13.0rc2": 1, "3.13.0": 12}, id="two"),
        pytest.param(b"\x0013.13.0\x001.3.13.0\0", "3.13", {}, id="part of another number"),
        pytest.param(b"\x003.13.0 and later\0", "3.13", {}, id="in a sentence"),
        pytest.param(b"\x003.130.0\0", "3.13", {}, id="other version"),
    ],
)
def test_version_texts(data: bytes, minor: str, found: dict[str, int]) -> None:
    assert version_texts(BytesSource(data), minor) == found


def test_version_text_across_a_window_is_found_once() -> None:
    data = bytes((1 << 20) - 3) + b"3.13.7\0" + bytes(100)
    assert version_texts(BytesSource(data), "3.13") == {"3.13.7": (1 << 20) - 3}
