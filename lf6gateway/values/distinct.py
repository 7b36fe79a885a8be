"""How many different names there were, told from a kibibyte, whatever their number. Owns the estimate: HyperLogLog
(Flajolet and others 2007), with linear counting where there are few; must never keep a name."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final

_BITS: Final = 10
_REGISTERS: Final = 1 << _BITS
_ALPHA: Final = 0.7213 / (1 + 1.079 / _REGISTERS)


class Distinct:
    """See the module. The standard error is 3 %."""

    __slots__ = ("_registers",)

    def __init__(self) -> None:
        self._registers = bytearray(_REGISTERS)

    def add(self, name: str) -> None:
        """There was this one, perhaps again."""
        number = int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        rest = number >> _BITS
        rank = 64 - _BITS - rest.bit_length() + 1
        place = number & (_REGISTERS - 1)
        if rank > self._registers[place]:
            self._registers[place] = rank

    def merge(self, other: Distinct) -> None:
        """There were all those as well."""
        self._registers = bytearray(map(max, self._registers, other._registers))

    def count(self) -> int:
        """How many, about."""
        estimate = _ALPHA * _REGISTERS**2 / sum(2.0**-rank for rank in self._registers)
        unused = self._registers.count(0)
        if unused and estimate <= 2.5 * _REGISTERS:
            estimate = _REGISTERS * math.log(_REGISTERS / unused)
        return round(estimate)
