"""The workload of `libcensus speed`, version 1: run by each interpreter that is measured, from standard input.

It is plain Python that CPython 3.6 to 3.15 and PyPy run alike, needs nothing beside the standard library, and computes
the same results everywhere, which are checked: an interpreter that is fast and wrong is not measured. Every change of
this file is another workload: give it another version, and the collector's list of workloads another line.

    PYTHON -I -S -B - SECONDS

prints one JSON object: what the interpreter says it is, and of each part the passes, the processor's and the wall
clock's seconds that they took. A part is warmed up for a fifth of its time before it is measured.
"""

import gc
import hashlib
import json
import re
import sys
import time
from typing import Any

VERSION = "1"


class _Shape:
    """An object with attributes in a dictionary, methods, and a property."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.seen = 0

    @property
    def area(self) -> int:
        return self.width * self.height

    def grow(self, by: int) -> int:
        self.seen += 1
        return self.area + by


class _Square(_Shape):
    """One that asks its parent."""

    def __init__(self, side: int) -> None:
        super().__init__(side, side)

    def grow(self, by: int) -> int:
        return super().grow(by) - 1


class _Point:
    """An object with slots and operators."""

    __slots__ = ("x", "y")

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __add__(self, other: "_Point") -> "_Point":
        return _Point(self.x + other.x, self.y ^ other.y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Point) and self.x == other.x and self.y == other.y

    def __hash__(self) -> int:
        return self.x * 31 + self.y


def arithmetic() -> int:
    """Whole numbers small and large, floating-point numbers, loops and branches."""
    steps = 0
    for start in range(1, 900):
        number = start
        while number != 1:
            number = 3 * number + 1 if number & 1 else number // 2
            steps += 1
    wave = 0.0
    sign = 1.0
    for term in range(1, 16000, 2):
        wave += sign / term
        sign = -sign
    large = 1
    for factor in range(2, 260):
        large *= factor
    return steps + int(wave * 4000000) + large % 1000003


def objects() -> int:
    """Objects made, their attributes and properties read and written, methods and functions called."""

    def times(factor: int) -> Any:
        return lambda value: value * factor

    double = times(2)
    total = 0
    shapes = [_Square(side) if side % 3 else _Shape(side, 2) for side in range(1, 400)]
    for turn in range(16):
        for shape in shapes:
            total += shape.grow(turn)
            shape.width += 1
    place = _Point(0, 0)
    for number in range(6000):
        place = place + _Point(number, number & 255)
        if place == _Point(3, number):
            total += 1
    for number in range(12000):
        total += double(number) & 7
    return total + place.x + place.y + sum(shape.seen for shape in shapes)


def strings() -> int:
    """Text built, formatted, split, searched, sliced, replaced and encoded."""
    lines = []
    for number in range(5000):
        line = f"{number:05d} host-{number % 97}.example.com " + "x" * (number % 11)
        lines.append(line.upper() if number % 5 == 0 else line)
    text = "\n".join(lines)
    total = 0
    for line in text.split("\n"):
        digits, host = line.split()[:2]
        total += int(digits) + host.find(".") + len(host.replace("host", "h").encode("utf-8"))
        total += line[::-1].count("x") + line.startswith("000") + len("%s=%s" % (host, digits))  # noqa: UP031 - measured
    return total + len(text.title().strip()) + text.count("EXAMPLE")


def containers() -> int:
    """Dictionaries, lists, tuples and sets filled, sorted, looked up and sliced."""
    seed = 42
    numbers = []
    for _ in range(9000):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        numbers.append(seed >> 8)
    counts: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for number in numbers:
        key = number % 613
        counts[key] = counts.get(key, 0) + 1
        groups.setdefault(number % 31, []).append(number)
    ordered = sorted(numbers, key=lambda number: (number % 101, number))
    pairs = {(number % 17, number % 23): number for number in ordered}
    even = {number for number in numbers if number % 2 == 0}
    total = sum(count * key for key, count in counts.items()) + len(even & set(ordered[:4000])) + len(pairs)
    for members in groups.values():
        members.reverse()
        total += members[0] + max(members) + members[len(members) // 2 :].index(members[-1])
    return total + sum(pairs.values()) % 1000003


def text() -> int:
    """JSON written and read, lines taken apart by regular expressions."""
    records: list[dict[str, Any]] = [
        {"id": number, "name": f"host-{number}", "tags": ["prod", "web", None, True], "load": number / 8, "up": [1, 2]}
        for number in range(700)
    ]
    written = json.dumps(records, sort_keys=True)
    read: list[dict[str, Any]] = json.loads(written)
    total = len(written) + sum(int(record["load"] * 8) + len(record["tags"]) for record in read)
    line = '10.0.{}.{} - - [30/Nov/2026:19:02:{:02d} +0000] "GET /a/{}?q={} HTTP/1.1" 200 {}\n'
    log = "".join(line.format(n % 256, n % 13, n % 60, n, n * 7, n * 31) for n in range(900))
    pattern = re.compile(r'^(\d+)\.(\d+)\.(\d+)\.(\d+) .*?"(\w+) (/\S*?)\?q=(\d+) [^"]*" (\d{3}) (\d+)$', re.MULTILINE)
    for found in pattern.finditer(log):
        total += int(found.group(3)) + int(found.group(7)) + len(found.group(6))
    return total + len(re.sub(r"\d+", "#", log))


def hashing() -> int:
    """SHA-256 and BLAKE2b of large blocks and of many small ones, by the library that the build brings or uses."""
    block = bytes(range(256)) * 512
    large = hashlib.sha256(block)
    for _ in range(12):
        large.update(block)
    total = int(large.hexdigest()[:6], 16) + int(hashlib.blake2b(block * 6).hexdigest()[:6], 16)
    small = b"libcensus"
    for _ in range(3000):
        small = hashlib.sha256(small).digest()
    return total + int.from_bytes(small[:3], "big")


PARTS = (
    (arithmetic, 4095324),
    (objects, 251189448),
    (strings, 12923490),
    (containers, 393902694),
    (text, 3313431),
    (hashing, 39511012),
)
"""Each part, and what it computes."""


def measure(part: Any, expected: int, seconds: float) -> Any:
    """Return what one part took; ends the process where its result is wrong."""
    name = part.__name__
    computed = part()
    if computed != expected:
        raise SystemExit(f"wrong result: {name} gave {computed!r} where {expected!r} is right")
    part()
    warm = time.process_time()
    while time.process_time() - warm < seconds / 5:
        part()
    gc.collect()
    passes = 0
    wall = time.perf_counter()
    begin = time.process_time()
    while True:
        part()
        passes += 1
        spent = time.process_time() - begin
        if spent >= seconds:
            return {"name": name, "passes": passes, "seconds": spent, "wall_seconds": time.perf_counter() - wall}


def main(arguments: Any) -> None:
    """Measure every part, and print the result."""
    seconds = float(arguments[0]) / len(PARTS)
    result = {
        "implementation": sys.implementation.name,
        "language": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "parts": [measure(part, expected, seconds) for part, expected in PARTS],
    }
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
