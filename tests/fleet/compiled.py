"""Programs, libraries and wheels that each Debian release's own compiler makes, for starting them in the other ones.

A release's compiler is put into an overlay of its root, which goes away with the build; what it made is kept in the
cache beside the roots. So the samples need what that release's compiler and libraries make them need, whatever this
machine has.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from tests.fleet.roots import CACHE, debian_root, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_COMPILERS = ("gcc", "g++", "libc6-dev", "musl-tools", "libpython3-dev")

_SOURCES: Mapping[str, str] = {
    "plain.c": """
#include <stdio.h>
int main(void) { puts("started"); return 0; }
""",
    "floors.c": """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
static void *work(void *given) { return given; }
int main(int count, char **words) {
    pthread_t thread; struct stat status;
    long number = strtol(count > 1 ? words[1] : "7", NULL, 10);
    if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL) || stat("/", &status)) return 1;
    dlopen(NULL, RTLD_NOW);
    printf("started %g %g\\n", fmod(number, 4.0), pow(number, 2.0));
    return 0;
}
""",
    "objects.cc": """
#include <charconv>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
int main(int count, char **words) {
    int number = 0; std::string text = std::to_string(count) + (count > 1 ? words[1] : "2");
    std::from_chars(text.data(), text.data() + text.size(), number);
    std::thread thread([&] { number++; }); thread.join();
    try { throw std::runtime_error("started"); } catch (const std::exception &error) {
        std::cout << error.what() << number << std::filesystem::exists("/") << std::endl;
    }
    return 0;
}
""",
    "weak.c": """
#include <stddef.h>
#include <stdio.h>
__attribute__((weak)) extern size_t strlcpy(char *, const char *, size_t);
int main(void) { char text[8]; if (strlcpy) strlcpy(text, "there", 8); puts("started"); return 0; }
""",
    "absent.c": "int absent(void) { return 1; }\n",
    "wants_absent.c": "int absent(void); int main(void) { return absent() - 1; }\n",
    "plugin.c": "int absent(void); int plugin(void) { return absent(); }\n",
    "carried.c": """
int carried_old(void) { return 1; }
#ifdef NEW
int carried_new(void) { return 1; }
#endif
""",
    "carried-1.map": "CARRIED_1 { global: carried_old; local: *; };\n",
    "carried-2.map": "CARRIED_1 { global: carried_old; local: *; };\nCARRIED_2 { global: carried_new; } CARRIED_1;\n",
    "wants_carried.c": "int carried_old(void); int main(void) { return carried_old() - 1; }\n",
    "wants_new_carried.c": "int carried_new(void); int main(void) { return carried_new() - 1; }\n",
    "bare.c": """
void _start(void) {
#ifdef __i386__
    __asm__ volatile("int $0x80" : : "a"(1), "b"(0));
#else
    __asm__ volatile("syscall" : : "a"(60), "D"(0));
#endif
    for (;;) {}
}
""",
    "futurenote.s": """
.section .note.ABI-tag,"a",@note
.align 4
.long 4, 16, 1
.asciz "GNU"
.long 0, 99, 0, 0
.section .note.GNU-stack,"",@progbits
""",
    "module.c": """
#include <Python.h>
#include <stdlib.h>
#include <math.h>
static PyObject *parse(PyObject *self, PyObject *text) {
    const char *words = PyBytes_AsString(text);
    return words ? PyLong_FromLong(strtol(words, NULL, 10)) : NULL;
}
static PyMethodDef methods[] = {{"parse", parse, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sample", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_sample(void) { return PyModule_Create(&definition); }
""",
}

_EVERYWHERE = """
gcc -O1 -o plain plain.c
gcc -O1 -o floors floors.c -lm -lpthread -ldl
gcc -O1 -static -o static plain.c
g++ -O1 -std=c++17 -o objects objects.cc -lpthread
g++ -O1 -std=c++17 -static-libstdc++ -static-libgcc -o objects-own-runtime objects.cc -lpthread
headers=$(echo /usr/include/python3.*)
gcc -O1 -shared -fPIC -I$headers -o module.so module.c
gcc -O1 -shared -fPIC -DPy_LIMITED_API=0x03090000 -I$headers -o module-abi3.so module.c
gcc -shared -fPIC -Wl,-soname,libabsent.so.7 -o libabsent.so.7 absent.c
gcc -shared -fPIC -Wl,-soname,libcarried.so.1 -Wl,--version-script,carried-2.map -DNEW -o libcarried.so.1 carried.c
mkdir -p carries/bin carries/lib strays/bin strays/lib outdated/bin outdated/lib plugs/bin plugs/lib
gcc -o wants-absent wants_absent.c ./libabsent.so.7
gcc -Wl,-rpath,'$ORIGIN/../lib' -o carries/bin/program wants_carried.c ./libcarried.so.1
cp libcarried.so.1 carries/lib
gcc -o strays/bin/program wants_carried.c ./libcarried.so.1
cp libcarried.so.1 strays/lib
gcc -Wl,-rpath,'$ORIGIN/../lib' -o outdated/bin/program wants_new_carried.c ./libcarried.so.1
old="-Wl,-soname,libcarried.so.1 -Wl,--version-script,carried-1.map"
gcc -shared -fPIC $old -o outdated/lib/libcarried.so.1 carried.c
gcc -O1 -o future-program plain.c futurenote.s
mkdir -p future/bin future/lib
gcc -shared -fPIC -Wl,-soname,libfuture.so.1 -o future/lib/libfuture.so.1 absent.c futurenote.s
gcc -Wl,-rpath,'$ORIGIN/../lib' -o future/bin/program wants_absent.c future/lib/libfuture.so.1
gcc -o plugs/bin/program plain.c
gcc -shared -fPIC -o plugs/lib/plugin.so plugin.c ./libabsent.so.7
gcc -shared -fPIC -o plugs/lib/healthy.so absent.c
"""
_SINCE_BOOKWORM = """
gcc -O1 -static-pie -o static-pie plain.c
gcc -O1 -pie -Wl,-z,pack-relative-relocs -o relr floors.c -lm -lpthread -ldl
gcc -O1 -Wl,-z,x86-64-v3 -o level-3 plain.c
musl-gcc -O1 -o musl plain.c
musl-gcc -O1 -static -o musl-static plain.c
gcc -O1 -Wl,-dynamic-linker,/opt/nowhere/ld.so.1 -o lost-loader plain.c
gcc -m32 -nostdlib -static -fno-pie -no-pie -o i386-static bare.c
gcc -m32 -nostdlib -pie -fPIE -Wl,-dynamic-linker,/lib/ld-linux.so.2 -o i386 bare.c
"""
_TRIXIE = """
gcc -O1 -o weak weak.c
"""

_RECIPES: Mapping[str, str] = {
    "bullseye": _EVERYWHERE,
    "bookworm": _EVERYWHERE + _SINCE_BOOKWORM,
    "trixie": _EVERYWHERE + _SINCE_BOOKWORM + _TRIXIE,
    "forky": _EVERYWHERE,
}

_BUILD = """
set -eu
work=$1; root=$2; shift 2
mkdir -p "$work/upper" "$work/work" "$work/merged"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" "$work/merged"
mount -t proc proc "$work/merged/proc"
mount --bind "$work/made" "$work/merged/mnt"
exec chroot "$work/merged" /bin/sh -c '
set -eu
apt() { apt-get -q -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"; }
apt update
DEBIAN_FRONTEND=noninteractive apt install -y --no-install-recommends "$@"
cd /mnt
set -x
. ./recipe.sh
' build "$@"
"""


def compiled(suite: str) -> Path:
    """Return a folder with what the suite's own compiler made; made when it is not there yet."""
    recipe = digest_of(inspect.getsource(sys.modules[__name__]), suite)[:12]
    folder = CACHE / f"compiled-{suite}-{recipe}"
    if folder.exists():
        return folder
    work = CACHE / f"compiled-{suite}.partial"
    shutil.rmtree(work, ignore_errors=True)
    made = work / "made"
    made.mkdir(parents=True)
    for name, text in {**_SOURCES, "recipe.sh": _RECIPES[suite]}.items():
        (made / name).write_text(text, encoding="ascii")
    command = ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", _BUILD, "build", str(work)]
    done = subprocess.run(
        [*command, str(debian_root(suite)), *_COMPILERS], check=False, capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, f"the compiler of {suite} failed:\n{done.stderr[-3000:]}"
    for old in CACHE.glob(f"compiled-{suite}-*"):
        shutil.rmtree(old)
    made.rename(folder)
    shutil.rmtree(work)
    return folder


def write_wheel(folder: Path, name: str, tag: str, module: Path, member: str, *, requires: str | None = None) -> Path:
    """Write a wheel that holds one extension module; its tag is what the caller says, true or not."""
    path = folder / f"{name}-1.0-{tag}.whl"
    information = f"{name}-1.0.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    lines += [f"Requires-Python: {requires}"] if requires else []
    tags = [
        f"{left}-{abi}-{platform}" for left, abi, platforms in [tag.split("-")] for platform in platforms.split(".")
    ]
    wheel = ["Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: false", *(f"Tag: {one}" for one in tags)]
    members = {
        member: module.read_bytes(),
        f"{information}/METADATA": "\n".join([*lines, ""]).encode(),
        f"{information}/WHEEL": "\n".join([*wheel, ""]).encode(),
    }
    record = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in members.items()]
    members[f"{information}/RECORD"] = "\n".join([*record, f"{information}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in members.items():
            archive.writestr(inside, data)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
