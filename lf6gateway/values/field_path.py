"""Where in a record something stands, written with dots: ``app.version``. Owns that spelling and the way there; must
never know what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

FieldPath: TypeAlias = tuple[str, ...]


def parse_path(text: str) -> FieldPath:
    """A path of names with dots between them.

    :raises ValueError: a name is empty.
    """
    names = tuple(text.split("."))
    if not all(names):
        raise ValueError(f"{text[:60]!r} is no field; write it like version or app.version")
    return names


def find_text(record: Any, paths: Sequence[FieldPath]) -> str | None:
    """What stands at the first of the paths at which something does, as text; ``None``: at none of them.

    A name with dots in it is found as well; a list of texts is taken as lines; an object is none."""
    for path in paths:
        value = _at(record, path)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, bool | int | float):
            return str(value).lower() if isinstance(value, bool) else str(value)
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            return "\n".join(value)
    return None


def _at(record: Any, path: FieldPath) -> Any:
    whole = ".".join(path)
    if len(path) > 1 and isinstance(record, dict) and whole in record:
        return record[whole]
    for name in path:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record
