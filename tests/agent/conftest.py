"""Real files for the agent's tests, made once per session."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.agent.elf.samples import compile_c


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small files that gcc made here."""
    folder = tmp_path_factory.mktemp("built")
    call = "int answer(int); int main(int c, char **v) { return answer(c); }"
    compile_c(
        folder, "libanswer.so.1", "int answer(int x) { return x; }", "-shared", "-fPIC", "-Wl,-soname,libanswer.so.1"
    )
    compile_c(folder, "with-runpath", call, str(folder / "libanswer.so.1"), "-Wl,-rpath,$ORIGIN:/nowhere")
    compile_c(folder, "with-rpath", call, str(folder / "libanswer.so.1"), "-Wl,--disable-new-dtags,-rpath,$ORIGIN")
    nothing = "int main(void) { return 0; }"
    compile_c(folder, "static", nothing, "-static")
    compile_c(folder, "static-pie", nothing, "-static-pie")
    compile_c(folder, "no-pie", nothing, "-no-pie")
    compile_c(folder, "level-3", nothing, "-Wl,-z,x86-64-v3")
    compile_c(folder, "sysv-hash", nothing, "-Wl,--hash-style=sysv")
    compile_c(folder, "gnu-hash", '#include <stdio.h>\nint main(void) { puts("x"); return 0; }', "-Wl,--hash-style=gnu")
    compile_c(folder, "relr", "int a; int *b = &a; int main(void) { return *b; }", "-Wl,-z,pack-relative-relocs")
    compile_c(folder, "object.o", nothing, "-c")
    return folder


@pytest.fixture(scope="session")
def aws_lc_module(sample_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension module of awscrt, which holds AWS-LC."""
    (wheel,) = sample_wheels.glob("awscrt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract("_awscrt.abi3.so", tmp_path_factory.mktemp("awscrt")))
