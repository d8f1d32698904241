"""How much a message unpacks to: looked at before it is unpacked, for two bytes on the wire can become a hundred.

An empty message inside a message costs two bytes to send and some eighty in memory, so that the largest message that
may be sent could take more than a gigabyte. What is counted here are fields and messages, not bytes: no real report or
fact comes near the bounds.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from libcensus.collector.service.errors import MalformedMessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_BYTES = 32 * 1024
"""What is smaller cannot become large: 32 KiB of empty messages take less than 3 MiB."""

MAX_MESSAGES = 200_000
MAX_FIELDS = 1_000_000


@cache
def _inner(descriptor: Any) -> Mapping[int, Any]:
    """Return the types of the fields that are messages, by number."""
    return {
        number: field.message_type
        for number, field in descriptor.fields_by_number.items()
        if field.type == FieldDescriptor.TYPE_MESSAGE
    }


def check_shape(descriptor: Any, raw: bytes) -> None:
    """Raise MalformedMessageError for bytes that would unpack to more messages or fields than any real message has.

    ``descriptor`` is the type's, of which protobuf's stubs know two kinds. Bytes that are no message of the type pass:
    whoever unpacks them says so.
    """
    if len(raw) <= SMALL_BYTES:
        return
    messages = fields = 0
    waiting = [(descriptor, 0, len(raw))]
    while waiting:
        current, place, end = waiting.pop()
        inner = _inner(current)
        while place < end:
            fields += 1
            tag, place = _varint(raw, place, end)
            kind = tag & 7
            if kind == 2:
                size, place = _varint(raw, place, end)
                if (found := inner.get(tag >> 3)) is not None:
                    messages += 1
                    if size:
                        waiting.append((found, place, min(place + size, end)))
                place += size
            elif kind == 0:
                _, place = _varint(raw, place, end)
            elif kind == 1:
                place += 8
            elif kind == 5:
                place += 4
            else:
                # Groups are not of this protocol; where one is, the rest cannot be followed and is not kept either.
                break
            if messages > MAX_MESSAGES or fields > MAX_FIELDS:
                raise MalformedMessageError(
                    f"request: a {descriptor.full_name} holds more than {MAX_MESSAGES} messages or {MAX_FIELDS} fields"
                )


def _varint(raw: bytes, place: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends; what has more than ten bytes is none, and nothing behind it can be read."""
    value = shift = 0
    while place < end and shift < 70:
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    return 0, end
