"""An object's metadata as headers. Owns how a value is spread over several where a store takes only short ones; must
never know what a value means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "x-amz-meta-"
_FURTHER: Final = re.compile(r"(.+)-part(\d+)\Z")


def headers_of(metadata: Mapping[str, str], longest: int | None) -> dict[str, str]:
    """The headers of an upload.

    :param longest: the most characters of one value, if there is a bound; the rest of ``uri`` then goes into
        ``uri-part2`` and so on.
    """
    headers: dict[str, str] = {}
    for name, value in metadata.items():
        for number, piece in enumerate(_pieces(value, longest or max(1, len(value))), 1):
            headers[f"{PREFIX}{name}" + (f"-part{number}" if number > 1 else "")] = piece
    return headers


def _pieces(value: str, longest: int) -> list[str]:
    pieces = []
    while len(value) > longest:
        end = longest
        # Blanks at either end of a header's value are lost on the way.
        while end > 1 and (value[end - 1] == " " or value[end] == " "):
            end -= 1
        pieces.append(value[:end])
        value = value[end:]
    return [*pieces, value]


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The metadata of an object, of the headers that show it (with lower-case names)."""
    found = {name.removeprefix(PREFIX): value for name, value in headers.items() if name.startswith(PREFIX)}
    further: dict[str, dict[int, str]] = {}
    for name in list(found):
        part = _FURTHER.match(name)
        if part is not None and part[1] in found:
            further.setdefault(part[1], {})[int(part[2])] = found.pop(name)
    for name, parts in further.items():
        found[name] += "".join(parts[number] for number in sorted(parts))
    return found
