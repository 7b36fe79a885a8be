"""From an object or an exception to the one line that is sent. Owns what an exception looks like as a record; must
never call anything of the application's but ``default`` and ``__str__``."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from lf6gateway.client.failures import NotSendable

MOST_FRAMES: Final = 64
"""Frames of a traceback that are kept: the outermost and the innermost half of so many."""
MOST_TEXT: Final = 8192
"""Characters of an exception's message that are kept."""
_MOST_CAUSES: Final = 8
_MOST_IN_GROUP: Final = 16
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


def line_of(value: Any, *, most: int, default: Callable[[Any], Any] | None = None) -> bytes:
    """A value as a line of JSON that ends in a line feed. Bytes are taken for JSON already and kept as they are, save
    for line breaks between tokens.

    :param most: its greatest length.
    :raises NotSendable: it is no JSON (RFC 8259 knows no NaN), or longer.
    """
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value).strip(b" \t\r\n")
            json.loads(data.decode(), parse_constant=_no_constant)
            data = data.translate(_ONE_LINE)
        else:
            data = _encoded(value, default)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSendable(f"it cannot be sent as JSON: {error}") from error
    if len(data) >= most:
        raise NotSendable(f"the record has {len(data)} bytes; {most - 1} are the most (batch_bytes)")
    return data + b"\n"


def _encoded(value: Any, default: Callable[[Any], Any] | None) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can hold
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=default).encode()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def exception_record(error: BaseException, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An exception as an object with ``exception``, ``module``, ``message``, ``traceback`` and, where they are,
    ``notes``, ``cause``, ``context`` and ``exceptions`` (of a group).

    :param more: further members, which come first.
    """
    return {**(more or {}), **_described(error, 0)}


def _described(error: BaseException, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "exception": type(error).__qualname__,
        "module": type(error).__module__,
        "message": _message(error),
        "traceback": _frames(traceback.extract_tb(error.__traceback__)),
    }
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        found["notes"] = [str(note)[:MOST_TEXT] for note in notes[:_MOST_IN_GROUP]]
    if depth < _MOST_CAUSES:
        if error.__cause__ is not None:
            found["cause"] = _described(error.__cause__, depth + 1)
        elif error.__context__ is not None and not error.__suppress_context__:
            found["context"] = _described(error.__context__, depth + 1)
        if isinstance(error, BaseExceptionGroup):
            found["exceptions"] = [_described(one, depth + 4) for one in error.exceptions[:_MOST_IN_GROUP]]
    return found


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MOST_TEXT]
    except Exception:  # the application's own __str__, of a class that is there to tell of trouble
        return f"<{type(error).__qualname__} cannot be printed>"


def _frames(stack: traceback.StackSummary) -> list[dict[str, Any]]:
    kept = list(stack) if len(stack) <= MOST_FRAMES else [*stack[: MOST_FRAMES // 2], *stack[-MOST_FRAMES // 2 :]]
    return [
        {"file": frame.filename, "line": frame.lineno, "function": frame.name, "code": (frame.line or "")[:MOST_TEXT]}
        for frame in kept
    ]
