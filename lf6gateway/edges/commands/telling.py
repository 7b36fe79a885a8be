"""What the commands that read objects tell on standard error of those that are not as they should be. Owns its two
forms, lines and JSON; must never decide what is wrong."""

from __future__ import annotations

import json
import sys

from lf6gateway.edges.commands.delivered_places import complain
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.record_lines import RecordReader


class Telling:
    """What is told on standard error of objects that are not as they should be.

    :param as_json: one JSON object a line.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self.told = 0

    def wrong(self, what: str, key: str = "") -> None:
        """Something is wrong, with an object or altogether."""
        self.told += 1
        self.say(what, key)

    def say(self, what: str, key: str = "") -> None:
        """Something is to be known."""
        if self._json:
            print(json.dumps({"key": key or None, "what": what}), file=sys.stderr, flush=True)
        else:
            complain(f"{key}: {what}" if key else what)


def told_of(found: Delivered, reader: RecordReader, telling: Telling) -> None:
    """Tell what of an object could not be read."""
    for damage in reader.damages:
        where = f"damaged at byte {damage.offset}: " if damage.offset >= 0 else ""
        telling.wrong(f"{where}{damage.why}; the rest is read, lf6gateway verify tells more", found.key)
    if reader.damaged > len(reader.damages):
        telling.wrong(f"{reader.damaged - len(reader.damages)} more places are damaged", found.key)
