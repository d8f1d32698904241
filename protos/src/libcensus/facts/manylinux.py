"""The manylinux policies as data: which symbol version is allowed from which policy on.

A wheel may carry the tag ``manylinux_2_N`` when it needs nothing that a distribution with glibc 2.N lacks (PEP 600),
and what that is stands in auditwheel's ``manylinux-policy.json``. Policies only ever add, so one number for each symbol
version says all: the oldest policy that allows it. A test compares every cell of this table with auditwheel's file.

It refuses to extrapolate: a version of libstdc++, libgcc or zlib that no policy lists yet gives no tag. Only glibc's
own number is carried on, since PEP 600 defines the tag by it.

Sources: PEP 600; auditwheel 6.8, ``src/auditwheel/policy/manylinux-policy.json`` and ``policy/__init__.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.requirement import glibc_number, version_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

POLICIES: tuple[int, ...] = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 36, 37, 38, 39, 40, 41)
"""The published policies, as the N of ``manylinux_2_N``."""

OLDEST: Mapping[str, int] = {
    "x86_64": 5,
    "i386": 5,
    "aarch64": 17,
    "arm": 17,
    "ppc64": 17,
    "ppc64le": 17,
    "s390x": 17,
    "riscv64": 31,
    "loongarch64": 36,
}
"""The first policy of each architecture."""

NEWEST: Mapping[str, int] = {"ppc64": 17}
"""The last policy of each architecture that later ones left out."""

_ALLOWED: Mapping[str, Mapping[int, str]] = {
    "GLIBC": {
        5: "2.0 2.1 2.1.1 2.1.2 2.1.3 2.2 2.2.1 2.2.2 2.2.3 2.2.4 2.2.5 2.2.6 2.3 2.3.2 2.3.3 2.3.4 2.4 2.5",
        12: "2.6 2.7 2.8 2.9 2.10 2.11 2.12",
        17: "2.13 2.14 2.15 2.16 2.17",
        24: "2.18 2.19 2.22 2.23 2.24",
        26: "2.25 2.26",
        27: "2.27",
        28: "2.28",
        31: "2.29 2.30 2.31",
        34: "2.32 2.33 2.34",
        35: "2.35",
        36: "2.36 ABI_DT_RELR",
        37: "2.37",
        38: "2.38",
        39: "2.39",
        40: "2.40",
        41: "2.41",
    },
    "GLIBCXX": {
        5: "3.4 3.4.1 3.4.2 3.4.3 3.4.4 3.4.5 3.4.6 3.4.7 3.4.8",
        12: "3.4.9 3.4.10 3.4.11 3.4.12 3.4.13",
        17: "3.4.14 3.4.15 3.4.16 3.4.17 3.4.18 3.4.19 LDBL_3.4 LDBL_3.4.7 LDBL_3.4.10",
        24: "3.4.20 3.4.21 3.4.22 LDBL_3.4.21",
        26: "3.4.23 3.4.24",
        31: "3.4.25 3.4.26 3.4.27 3.4.28",
        34: "3.4.29 IEEE128_3.4.29 LDBL_3.4.29",
        35: "3.4.30 IEEE128_3.4.30",
        39: "3.4.31 3.4.32 3.4.33 IEEE128_3.4.31 LDBL_3.4.31",
    },
    "CXXABI": {
        5: "1.3 1.3.1",
        12: "1.3.2 1.3.3",
        17: "1.3.4 1.3.5 1.3.6 1.3.7 ARM_1.3.3 LDBL_1.3 TM_1",
        24: "1.3.8 1.3.9 1.3.10 FLOAT128",
        26: "1.3.11",
        31: "1.3.12",
        34: "1.3.13 IEEE128_1.3.13",
        39: "1.3.14 1.3.15",
    },
    "GCC": {
        5: "3.0 3.3 3.3.1 3.4 3.4.2 3.4.4 4.0.0 4.2.0",
        12: "4.3.0 4.4.0 4.5.0",
        17: "3.3.4 3.5 4.1.0 4.7.0 4.8.0",
        26: "7.0.0",
        34: "11.0",
        35: "12.0.0",
        39: "13.0.0 14.0 14.0.0",
    },
    "LIBATOMIC": {17: "1.0", 24: "1.1 1.2"},
    "ZLIB": {
        12: "1.2.0 1.2.0.2 1.2.0.8 1.2.2 1.2.2.3 1.2.2.4",
        17: "1.2.3.3 1.2.3.4 1.2.3.5 1.2.5.1 1.2.5.2",
        26: "1.2.7.1 1.2.9",
        37: "1.2.12",
    },
}

_EXCEPTIONS: Mapping[tuple[str, str], int] = {
    ("x86_64", "CXXABI_1.3.11"): 27,
    ("x86_64", "GCC_7.0.0"): 27,
    ("x86_64", "GLIBCXX_3.4.23"): 27,
    ("x86_64", "GLIBCXX_3.4.24"): 27,
    ("x86_64", "LIBATOMIC_1.0"): 24,
    ("x86_64", "ZLIB_1.2.7.1"): 27,
    ("x86_64", "ZLIB_1.2.9"): 27,
    ("i386", "ZLIB_1.2.12"): 36,
    ("aarch64", "GLIBC_2.18"): 17,
    ("aarch64", "ZLIB_1.2.7.1"): 27,
    ("aarch64", "ZLIB_1.2.9"): 27,
    ("s390x", "LIBATOMIC_1.0"): 24,
    ("riscv64", "GLIBC_ABI_DT_RELR"): 38,
    ("loongarch64", "GLIBCXX_3.4.33"): 40,
}
"""Versions that one architecture allows from another policy on than the others: its distributions had them else."""

_FIRST: Mapping[str, int] = {
    f"{family}_{version}": policy
    for family, policies in _ALLOWED.items()
    for policy, versions in policies.items()
    for version in versions.split()
}

LIBRARIES: Mapping[str, int] = {
    **dict.fromkeys(
        (
            "libatomic.so.1", "libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libanl.so.1", "libdl.so.2", "librt.so.1",
            "libc.so.6", "libnsl.so.1", "libutil.so.1", "libpthread.so.0", "libX11.so.6", "libXext.so.6",
            "libXrender.so.1", "libICE.so.6", "libSM.so.6", "libGL.so.1", "libgobject-2.0.so.0",
            "libgthread-2.0.so.0", "libglib-2.0.so.0", "libresolv.so.2", "libz.so.1",
        ),
        5,
    ),
    "libexpat.so.1": 12,
    "libmvec.so.1": 24,
}  # fmt: skip
"""The libraries that a host may be asked for, with the first policy that allows it."""

ZLIB_PRIVATE: Mapping[str, int | None] = {
    **dict.fromkeys(
        (
            "_dist_code", "_length_code", "_tr_align", "_tr_flush_block", "_tr_init", "_tr_stored_block", "_tr_tally",
            "adler32_default", "crc32_acle", "crc32_le_vgfm_16", "crc32_neon", "crc32_vpmsum", "crc32_z_default",
            "deflate_copyright", "gzflags", "inflate_copyright", "inflate_fast", "inflate_table", "sse2_slide_hash",
            "z_errmsg", "z_vstring", "zcalloc", "zcfree",
        ),
        None,
    ),
    **dict.fromkeys(
        (
            "bi_windup", "crc_fold_512to32", "crc_fold_copy", "crc_fold_init", "deflate_medium", "fill_window",
            "flush_pending", "longest_match", "slide_hash_sse", "static_ltree", "x86_check_features",
            "x86_cpu_has_pclmul", "x86_cpu_has_sse2", "x86_cpu_has_sse42",
        ),
        36,
    ),
    "crc32_combine_gen": 37,
    "crc32_combine_gen64": 37,
    "crc32_combine_op": 37,
    "uncompress2": 34,
}  # fmt: skip
"""Symbols that some distributions' zlib has and others' has not: the first policy that allows each, None for never."""

_LOADER = re.compile(r"ld-linux|ld64\.so\.[12]\Z")


@dataclass(frozen=True, slots=True)
class ManylinuxVerdict:
    """The policy that fits (``manylinux_2_17``), or None and the reason why none does."""

    policy: str | None
    reason: str


def first_policy(arch: str, version: str) -> int | None:
    """Return the oldest policy, as the N of ``manylinux_2_N``, that allows a symbol version; None where none does.

    Versions of families that the policies do not govern (``OPENSSL_3.0.0``) are allowed from the first on.
    """
    oldest = OLDEST[arch]
    if version.partition("_")[0] not in _ALLOWED:
        return oldest
    listed = _EXCEPTIONS.get((arch, version), _FIRST.get(version))
    if listed is None:
        number = glibc_number(version)
        # PEP 600 defines the tag by glibc's version alone; beyond the table that is all there is.
        return number[1] if number is not None and number[0] == 2 and number[1] > POLICIES[-1] else None
    return max(oldest, listed)


def judge_manylinux(
    arch: str | None,
    versions: Iterable[str],
    sonames: Iterable[str],
    *,
    x86_64_level: int | None = None,
    private_symbols: Iterable[str] = (),
) -> ManylinuxVerdict:
    """Return the oldest policy that all of this fits.

    ``versions`` are the symbol versions wanted, strong and weak; ``sonames`` the libraries wanted from the host;
    ``private_symbols`` those of :data:`ZLIB_PRIVATE` that are wanted. Agrees with ``auditwheel show`` where that
    knows the architecture and the version.
    """
    if arch is None or arch not in OLDEST:
        return ManylinuxVerdict(None, f"no manylinux policy is for {arch or 'an unknown architecture'}")
    wanted = sorted({name for name in sonames if not _LOADER.match(name)})
    if any(name == "libc.so" or name.startswith("libc.musl-") for name in wanted):
        return ManylinuxVerdict(None, "made for musl: which musllinux tag fits cannot be told from the file")
    if "libc.so.6" not in wanted:
        return ManylinuxVerdict(None, "asks for no libc.so.6: glibc does not matter")
    foreign = [name for name in wanted if name not in LIBRARIES]
    if foreign:
        return ManylinuxVerdict(None, f"wants {foreign[0]} of the host, which no policy allows")
    private = sorted(private_symbols) if "libz.so.1" in wanted else []
    forbidden = [symbol for symbol in private if ZLIB_PRIVATE[symbol] is None]
    if forbidden:
        return ManylinuxVerdict(None, f"wants zlib's private symbol {forbidden[0]}")
    if x86_64_level is not None and x86_64_level > 1:
        return ManylinuxVerdict(None, f"needs x86-64-v{x86_64_level}; the policies are for every x86-64")
    policy, by = OLDEST[arch], f"the first policy for {arch}"
    for name in wanted:
        if LIBRARIES[name] > policy:
            policy, by = LIBRARIES[name], name
    for symbol in private:
        if (ZLIB_PRIVATE[symbol] or 0) > policy:
            policy, by = ZLIB_PRIVATE[symbol] or 0, symbol
    for version in sorted(set(versions), key=version_key):
        first = first_policy(arch, version)
        if first is None:
            return ManylinuxVerdict(None, f"wants {version}, which no policy allows")
        if first >= policy:
            policy, by = first, version
    if policy > NEWEST.get(arch, policy):
        return ManylinuxVerdict(None, f"wants {by}; no policy after manylinux_2_{NEWEST[arch]} is for {arch}")
    return ManylinuxVerdict(f"manylinux_2_{policy}", by)
