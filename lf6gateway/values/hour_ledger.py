"""How far an hour is shipped, as it is noted on disk. Owns that note's text; must never read or write the file.

It is written before the first attempt and after every certain answer. Losing it costs a walk through the object, never
a record; having none says that nothing of what is on disk was ever attempted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lf6gateway.values.checked import decode_fields, encode_fields
from lf6gateway.values.growth import ZERO, Cursor

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class HourLedger:
    """One hour's state.

    :param cursor: ours in the object when that was last certain.
    :param shipped: ids of the members on disk that are in the object for certain.
    :param multipart: an upload in parts may have been left unfinished.
    :param host: the hostname in the key that it was begun under; empty where an older version wrote it.
    :param certain: it tells all that was attempted; not so one that stands in the place of a damaged one.
    """

    cursor: Cursor = ZERO
    shipped: tuple[str, ...] = ()
    multipart: bool = False
    certain: bool = True
    host: str = ""

    def encode(self) -> bytes:
        """As the file's bytes."""
        fields = {
            "version": _VERSION,
            "count": self.cursor.count,
            "chain": self.cursor.chain,
            "shipped": list(self.shipped),
            "multipart": self.multipart,
            "certain": self.certain,
        }
        if self.host:
            fields["host"] = self.host
        return encode_fields(fields)

    @classmethod
    def decode(cls, data: bytes) -> HourLedger:
        """From the file's bytes.

        :raises ValueError: they are not a ledger.
        """
        try:
            fields = decode_fields(data)
            if fields["version"] != _VERSION:
                raise ValueError(f"version {fields['version']!r} is not known")
            cursor = Cursor(int(fields["count"]), str(fields["chain"]))
            shipped = tuple(map(str, fields["shipped"]))
            certain, host = bool(fields.get("certain", True)), str(fields.get("host", ""))
            return cls(cursor, shipped, bool(fields["multipart"]), certain, host)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no ledger: {error!r}") from error
