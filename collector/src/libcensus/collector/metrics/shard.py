"""Which hosts one of several collectors tells of: each host is in exactly one shard, by its id alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

MOST_SHARDS = 1000

_WRITTEN = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` parts of the hosts: the ``number``-th, counted from 1. The only one has them all."""

    number: int = 1
    count: int = 1

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the shard that is written as ``2/3``; raises ValueError for what is none."""
        match = _WRITTEN.fullmatch(text)
        number, count = (int(match[1]), int(match[2])) if match is not None else (0, 0)
        if not 1 <= number <= count <= MOST_SHARDS:
            raise ValueError(f"{text!r} is no shard I/N")
        return cls(number, count)

    def holds(self, host_id: str) -> bool:
        """Tell whether a host is in this shard.

        SHA-256 of its id decides, so that every collector and every restart puts it into the same one. Only another
        number of shards moves hosts.
        """
        if self.count == 1:
            return True
        digest = hashlib.sha256(host_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.number}/{self.count}"


ALL_HOSTS = Shard()
"""The shard of whoever has no other collector beside."""
