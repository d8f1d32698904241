"""Decompresses Zstandard frames (RFC 8878), because the standard library of Python below 3.14 cannot.

Tools such as uv carry their table of downloads compressed inside the executable. Output comes block by block, so that
a caller can stop after the first one that is not what it looks for. It refuses dictionaries and copies from further
back than :data:`MAX_WINDOW`, and checks every length against what is there: a crafted frame ends in an error, and
never in unbounded work or memory. It does not verify the optional checksum: what is read is judged by its content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

MAGIC = b"\x28\xb5\x2f\xfd"
MAX_WINDOW = 8 << 20
"""The largest distance that a frame may reach back, which is that of the reference's level 19."""

_MAX_BLOCK = 128 << 10
_MAX_HUFFMAN_BITS = 11
_MAX_WEIGHT_LOG = 6
_REFILL = 64
_SLACK = 4 << 20

_LITERAL_CODES = (
    *((code, 0) for code in range(16)),
    (16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4), (64, 6), (128, 7), (256, 8),
    (512, 9), (1024, 10), (2048, 11), (4096, 12), (8192, 13), (16384, 14), (32768, 15), (65536, 16),
)  # fmt: skip
_MATCH_CODES = (
    *((code + 3, 0) for code in range(32)),
    (35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4), (83, 4), (99, 5), (131, 7),
    (259, 8), (515, 9), (1027, 10), (2051, 11), (4099, 12), (8195, 13), (16387, 14), (32771, 15), (65539, 16),
)  # fmt: skip
_OFFSET_CODES = tuple((1 << code, code) for code in range(32))

_LITERAL_DEFAULT = (4, 3, *(2,) * 11, 1, 1, 1, *(2,) * 9, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1)
_MATCH_DEFAULT = (1, 4, 3, 2, 2, 2, 2, 2, 2, *(1,) * 37, *(-1,) * 7)
_OFFSET_DEFAULT = (1, 1, 1, 1, 1, 1, 2, 2, 2, *(1,) * 15, *(-1,) * 5)


class ZstandardError(UnreadableError):
    """No Zstandard frame, a damaged one, or one that asks for more than is allowed."""

    def __init__(self, detail: str) -> None:
        super().__init__("damaged-zstandard", detail)


_SKIPPABLE = range(0x184D2A50, 0x184D2A60)


def decompress_frames(data: bytes, *, limit: int, window: int | None = None) -> Iterator[bytes]:
    """Yield the content of all frames in ``data``, as a file has them, block by block; skippable frames are skipped.

    Raises ZstandardError, also where the content is longer than ``limit`` bytes, or a copy reaches back further than
    ``window`` (:data:`MAX_WINDOW` where none is given): that much is kept in memory.
    """
    while data:
        if int.from_bytes(data[:4], "little") in _SKIPPABLE:
            if len(data) < 8:
                raise ZstandardError("ends in a frame to skip")
            data = data[8 + int.from_bytes(data[4:8], "little") :]
            continue
        total = 0
        frame = decompress_frame(data, limit=limit, window=window)
        while True:
            try:
                block = next(frame)
            except StopIteration as end:
                data = data[end.value :]
                break
            total += len(block)
            yield block
        limit -= total


def decompress_frame(data: bytes, *, limit: int, window: int | None = None) -> Generator[bytes, None, int]:
    """Yield the content of the frame at the start of ``data``, block by block; what follows the frame is ignored.

    Returns how many bytes the frame takes.

    Raises ZstandardError, also where the content is longer than ``limit`` bytes.
    """
    told, at = _read_header(data)
    frame = _Frame(min(told, MAX_WINDOW if window is None else window))
    total = 0
    is_last = False
    while not is_last:
        if at + 3 > len(data):
            raise ZstandardError("ends before its last block")
        header = int.from_bytes(data[at : at + 3], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3
        stored = 1 if kind == 1 else size
        if size > _MAX_BLOCK or at + stored > len(data):
            raise ZstandardError(f"a block of {size} bytes does not fit")
        body = data[at : at + stored]
        at += stored
        if kind == 0:
            content = frame.take(body)
        elif kind == 1:
            content = frame.take(body * size)
        elif kind == 2:
            content = frame.decompress(body)
        else:
            raise ZstandardError("a block of a reserved kind")
        total += len(content)
        if total > limit:
            raise ZstandardError(f"holds more than {limit} bytes")
        if content:
            yield content
    return at + (4 if data[4] & 0x04 else 0)


def _read_header(data: bytes) -> tuple[int, int]:
    """Return a frame's window size and where its first block starts."""
    if data[:4] != MAGIC or len(data) < 6:
        raise ZstandardError("is no frame")
    descriptor = data[4]
    is_single = bool(descriptor & 0x20)
    if descriptor & 0x08:
        raise ZstandardError("has a reserved bit set")
    at = 5
    window = 0
    if not is_single:
        base = 1 << (10 + (data[at] >> 3))
        window = base + (base >> 3) * (data[at] & 7)
        at += 1
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    if any(data[at : at + dictionary]):
        raise ZstandardError("needs a dictionary")
    at += dictionary
    flag = descriptor >> 6
    length = (1 if is_single else 0, 2, 4, 8)[flag]
    size = int.from_bytes(data[at : at + length], "little") + (256 if flag == 1 else 0)
    at += length
    if is_single:
        window = size
    return window, at


@dataclass(frozen=True, slots=True)
class _StateTable:
    """A decoding table of finite state entropy (RFC 8878, 4.1): per state its symbol, bits to read and next base."""

    log: int
    symbols: tuple[int, ...]
    bits: tuple[int, ...]
    bases: tuple[int, ...]


def _state_table(counts: Sequence[int], log: int) -> _StateTable:
    size = 1 << log
    symbols = [0] * size
    following = [0] * len(counts)
    high = size
    for symbol, count in enumerate(counts):
        if count == -1:
            high -= 1
            symbols[high] = symbol
            following[symbol] = 1
    step, mask, position = (size >> 1) + (size >> 3) + 3, size - 1, 0
    for symbol, count in enumerate(counts):
        if count <= 0:
            continue
        following[symbol] = count
        for _ in range(count):
            symbols[position] = symbol
            position = (position + step) & mask
            while position >= high:
                position = (position + step) & mask
    if position != 0:
        raise ZstandardError("a table of states does not close")
    bits, bases = [], []
    for symbol in symbols:
        state = following[symbol]
        following[symbol] += 1
        width = log - state.bit_length() + 1
        bits.append(width)
        bases.append((state << width) - size)
    return _StateTable(log, tuple(symbols), tuple(bits), tuple(bases))


def _read_counts(data: bytes, at: int, most_log: int, most_symbol: int) -> tuple[list[int], int, int]:
    """Read a table's description: the counts of its symbols, its log, and where it ends."""
    # Descriptions are at most some 60 bytes long.
    value, available = int.from_bytes(data[at : at + 128], "little"), min(128, len(data) - at) * 8
    log = (value & 15) + 5
    if log > most_log:
        raise ZstandardError("a table of states is too large")
    used = 4
    remaining = 1 << log
    counts: list[int] = []
    while remaining > 0:
        if len(counts) > most_symbol or used > available:
            raise ZstandardError("a table of states does not end")
        width = (remaining + 1).bit_length()
        number = value >> used & ((1 << width) - 1)
        low = number & ((1 << (width - 1)) - 1)
        threshold = (1 << width) - 1 - (remaining + 1)
        if low < threshold:
            number = low
            used += width - 1
        else:
            if number >= 1 << (width - 1):
                number -= threshold
            used += width
        count = number - 1
        remaining -= abs(count)
        counts.append(count)
        if count == 0:
            repeat = 3
            while repeat == 3 and len(counts) <= most_symbol:
                repeat = value >> used & 3
                used += 2
                counts += [0] * repeat
    if remaining < 0 or len(counts) > most_symbol + 1 or used > available:
        raise ZstandardError("the counts of a table of states do not add up")
    return counts, log, at + (used + 7) // 8


class _Backwards:
    """Bits that are read from the end of some bytes to their start; the last byte holds a mark above the first bit."""

    __slots__ = ("_at", "_data", "have", "value")

    def __init__(self, data: bytes) -> None:
        if not data or not data[-1]:
            raise ZstandardError("a stream of bits has no end mark")
        self._data = data
        self._at = len(data) - 1
        self.have = data[-1].bit_length() - 1
        self.value = data[-1] & ((1 << self.have) - 1)

    def refill(self) -> None:
        """Make more bits available, where there are any."""
        start = max(0, self._at - _REFILL)
        chunk = self._data[start : self._at]
        self.value = self.value << (8 * len(chunk)) | int.from_bytes(chunk, "little")
        self.have += 8 * len(chunk)
        self._at = start

    @property
    def left(self) -> int:
        """How many bits are still there."""
        return self.have + 8 * self._at

    def read(self, count: int) -> int:
        """Return the next bits as a number."""
        if self.have < count:
            self.refill()
            if self.have < count:
                raise ZstandardError("a stream of bits ends early")
        self.have -= count
        number = self.value >> self.have
        self.value &= (1 << self.have) - 1
        return number


@dataclass(frozen=True, slots=True)
class _HuffmanTable:
    """For each value of the next ``bits`` bits, the byte that it stands for and how many of the bits are its code."""

    bits: int
    symbols: bytes
    widths: bytes


def _huffman_table(weights: list[int]) -> _HuffmanTable:
    total = sum(1 << (weight - 1) for weight in weights if weight)
    if not total:
        raise ZstandardError("a Huffman table is empty")
    bits = total.bit_length()
    rest = (1 << bits) - total
    if bits > _MAX_HUFFMAN_BITS or rest & (rest - 1):
        raise ZstandardError("the weights of a Huffman table do not add up")
    weights = [*weights, rest.bit_length()]
    symbols, widths = bytearray(), bytearray()
    for weight in range(1, bits + 1):
        for symbol, own in enumerate(weights):
            if own == weight:
                symbols += bytes((symbol,)) * (1 << (weight - 1))
                widths += bytes((bits + 1 - weight,)) * (1 << (weight - 1))
    return _HuffmanTable(bits, bytes(symbols), bytes(widths))


def _read_huffman_table(data: bytes) -> tuple[_HuffmanTable, int]:
    """Read a Huffman table's description at the start of ``data``: the table and where it ends."""
    if not data:
        raise ZstandardError("a Huffman table is missing")
    header = data[0]
    if header >= 128:
        count = header - 127
        end = 1 + (count + 1) // 2
        nibbles = [part for byte in data[1:end] for part in (byte >> 4, byte & 15)]
        if end > len(data):
            raise ZstandardError("a Huffman table is cut off")
        return _huffman_table(nibbles[:count]), end
    end = 1 + header
    if end > len(data):
        raise ZstandardError("a Huffman table is cut off")
    counts, log, start = _read_counts(data[:end], 1, _MAX_WEIGHT_LOG, 255)
    table = _state_table(counts, log)
    stream = _Backwards(data[start:end])
    states = [stream.read(log), stream.read(log)]
    weights: list[int] = []
    turn = 0
    while len(weights) < 254:
        state = states[turn]
        weights.append(table.symbols[state])
        if stream.left < table.bits[state]:
            weights.append(table.symbols[states[1 - turn]])
            break
        states[turn] = table.bases[state] + stream.read(table.bits[state])
        turn = 1 - turn
    else:
        raise ZstandardError("a Huffman table has too many weights")
    if max(weights) > _MAX_HUFFMAN_BITS:
        raise ZstandardError("a Huffman table has codes that are too long")
    return _huffman_table(weights), end


def _decode_huffman(table: _HuffmanTable, data: bytes, size: int) -> bytes:
    stream = _Backwards(data)
    bits, symbols, widths = table.bits, table.symbols, table.widths
    found = bytearray(size)
    have, value = stream.have, stream.value
    for at in range(size):
        if have < bits:
            stream.have, stream.value = have, value & ((1 << have) - 1)
            stream.refill()
            have, value = stream.have, stream.value
            if have < bits:
                # The last codes may be shorter than the longest one: zeros stand in for what comes after them.
                return _decode_tail(table, found, at, have, value)
        code = value >> (have - bits) & ((1 << bits) - 1)
        found[at] = symbols[code]
        have -= widths[code]
    if have or stream.left != stream.have:
        raise ZstandardError("a Huffman stream is longer than its content")
    return bytes(found)


def _decode_tail(table: _HuffmanTable, found: bytearray, at: int, have: int, value: int) -> bytes:
    mask = (1 << table.bits) - 1
    value <<= table.bits
    for place in range(at, len(found)):
        code = value >> have & mask
        found[place] = table.symbols[code]
        have -= table.widths[code]
        if have < 0:
            raise ZstandardError("a Huffman stream ends early")
    if have:
        raise ZstandardError("a Huffman stream is longer than its content")
    return bytes(found)


@dataclass(slots=True)
class _Frame:
    """What the blocks of one frame share: the window, the tables that may be used again, the last offsets."""

    window: int
    content: bytearray = field(default_factory=bytearray)
    offsets: tuple[int, int, int] = (1, 4, 8)
    huffman: _HuffmanTable | None = None
    tables: list[_StateTable | None] = field(default_factory=lambda: [None, None, None])

    def take(self, content: bytes) -> bytes:
        """Add bytes to the content, and return them."""
        self.content += content
        self._forget()
        return content

    def _forget(self) -> None:
        if len(self.content) > self.window + _SLACK:
            del self.content[: len(self.content) - self.window]

    def decompress(self, body: bytes) -> bytes:
        """Return the content of one compressed block."""
        literals, at = self._read_literals(body)
        start = len(self.content)
        self._execute(literals, body, at)
        found = bytes(self.content[start:])
        self._forget()
        return found

    def _read_literals(self, body: bytes) -> tuple[bytes, int]:
        """Read the literals section: the literals, and where the sequences start."""
        if not body:
            raise ZstandardError("a compressed block is empty")
        kind, form = body[0] & 3, body[0] >> 2 & 3
        if kind < 2:
            length = 1 if form in (0, 2) else 2 if form == 1 else 3
            number = int.from_bytes(body[:length], "little")
            size = number >> (3 if length == 1 else 4)
            stored = 1 if kind == 1 else size
            end = length + stored
            if end > len(body) or size > _MAX_BLOCK:
                raise ZstandardError("the literals of a block do not fit")
            return (body[length:end] if kind == 0 else body[length:end] * size), end
        length, width = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        number = int.from_bytes(body[:length], "little") >> 4
        size, stored = number & ((1 << width) - 1), number >> width
        end = length + stored
        if end > len(body) or size > _MAX_BLOCK:
            raise ZstandardError("the literals of a block do not fit")
        data = body[length:end]
        if kind == 2:
            self.huffman, start = _read_huffman_table(data)
            data = data[start:]
        if self.huffman is None:
            raise ZstandardError("a block uses a Huffman table that was never given")
        if form == 0:
            return _decode_huffman(self.huffman, data, size), end
        if len(data) < 6:
            raise ZstandardError("four streams have no lengths")
        part = (size + 3) // 4
        if size < 3 * part:
            raise ZstandardError("four streams have too little content")
        sizes = (part, part, part, size - 3 * part)
        start, literals = 6, b""
        for index, content in enumerate(sizes):
            stop = len(data) if index == 3 else start + int.from_bytes(data[2 * index : 2 * index + 2], "little")
            if stop > len(data):
                raise ZstandardError("a stream of literals does not fit")
            literals += _decode_huffman(self.huffman, data[start:stop], content)
            start = stop
        return literals, end

    def _read_sequences_header(self, body: bytes, at: int) -> tuple[int, int]:
        """Return how many sequences there are, and where their tables' modes stand."""
        head = body[at : at + 3]
        if head and head[0] < 128:
            return head[0], at + 1
        if len(head) > 1 and head[0] < 255:
            return (head[0] - 128 << 8) + head[1], at + 2
        if len(head) > 2:
            return head[1] + (head[2] << 8) + 0x7F00, at + 3
        raise ZstandardError("a block has no sequences section")

    def _read_table(self, which: int, mode: int, body: bytes, at: int) -> tuple[_StateTable, int]:
        """Return the table of literal lengths (0), offsets (1) or match lengths (2), and where the next one starts."""
        default, default_log, most_log, codes = (
            (_LITERAL_DEFAULT, 6, 9, _LITERAL_CODES),
            (_OFFSET_DEFAULT, 5, 8, _OFFSET_CODES),
            (_MATCH_DEFAULT, 6, 9, _MATCH_CODES),
        )[which]
        if mode == 0:
            table = _state_table(default, default_log)
        elif mode == 1:
            if at >= len(body) or body[at] >= len(codes):
                raise ZstandardError("a repeated code does not exist")
            table = _StateTable(0, (body[at],), (0,), (0,))
            at += 1
        elif mode == 2:
            counts, log, at = _read_counts(body, at, most_log, len(codes) - 1)
            table = _state_table(counts, log)
        else:
            previous = self.tables[which]
            if previous is None:
                raise ZstandardError("a block uses a table that was never given")
            table = previous
        self.tables[which] = table
        return table, at

    def _execute(self, literals: bytes, body: bytes, at: int) -> None:
        """Put the block's content together: literals, and copies of what was there before."""
        count, at = self._read_sequences_header(body, at)
        content = self.content
        if count == 0:
            content += literals
            return
        if at >= len(body):
            raise ZstandardError("the modes of a block's tables are missing")
        modes = body[at]
        at += 1
        tables = []
        for which, mode in enumerate((modes >> 6, modes >> 4 & 3, modes >> 2 & 3)):
            table, at = self._read_table(which, mode, body, at)
            tables.append(table)
        lengths, offsets, matches = tables
        stream = _Backwards(body[at:])
        length_state, offset_state, match_state = (stream.read(table.log) for table in tables)
        first, second, third = self.offsets
        limit = len(content) + _MAX_BLOCK
        reach, taken = self.window, 0
        for number in range(count):
            base, width = _OFFSET_CODES[offsets.symbols[offset_state]]
            value = base + stream.read(width)
            base, width = _MATCH_CODES[matches.symbols[match_state]]
            copied = base + stream.read(width)
            base, width = _LITERAL_CODES[lengths.symbols[length_state]]
            length = base + stream.read(width)
            if number + 1 < count:
                length_state = lengths.bases[length_state] + stream.read(lengths.bits[length_state])
                match_state = matches.bases[match_state] + stream.read(matches.bits[match_state])
                offset_state = offsets.bases[offset_state] + stream.read(offsets.bits[offset_state])
            if value > 3:
                first, second, third = value - 3, first, second
            else:
                value += length == 0
                if value == 2:
                    first, second = second, first
                elif value == 3:
                    first, second, third = third, first, second
                elif value == 4:
                    first, second, third = first - 1, first, second
            if taken + length > len(literals):
                raise ZstandardError("a sequence wants more literals than there are")
            content += literals[taken : taken + length]
            taken += length
            if not 0 < first <= min(reach, len(content)) or len(content) + copied > limit:
                raise ZstandardError("a sequence copies what is not there")
            start = len(content) - first
            if first >= copied:
                content += content[start : start + copied]
            else:
                piece = content[start:]
                content += (piece * (copied // first + 1))[:copied]
        if stream.left:
            raise ZstandardError("the sequences of a block end early")
        self.offsets = first, second, third
        content += literals[taken:]
        if len(content) > limit:
            raise ZstandardError("a block is longer than any may be")
