"""A small JSON text that carries its own checksum, so that a flipped bit in it is seen, and not believed. Owns where
the checksum stands; must never read or write a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import google_crc32c

_CHECK: Final = "check"


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """An object on one line, its checksum as a further field."""
    return _text({**fields, _CHECK: _sum(fields)})


def decode_fields(data: bytes) -> dict[str, Any]:
    """The object's fields.

    :raises ValueError: it is not what was written.
    """
    fields = _parsed(data)
    if not isinstance(fields, dict) or fields.pop(_CHECK, None) != _sum(fields):
        raise ValueError("it does not fit its checksum")
    return fields


def encode_items(items: Sequence[Any]) -> bytes:
    """A list on one line, its checksum as a further item."""
    return _text([*items, _sum(list(items))])


def decode_items(data: bytes) -> list[Any]:
    """The list's items.

    :raises ValueError: they are not what was written.
    """
    items = _parsed(data)
    if not isinstance(items, list) or not items or items.pop() != _sum(items):
        raise ValueError("it does not fit its checksum")
    return items


def _text(value: object) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _sum(value: object) -> str:
    return f"{google_crc32c.value(json.dumps(value).encode('ascii')):08x}"
