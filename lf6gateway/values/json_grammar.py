"""The grammar of JSON (RFC 8259), to the letter and without recursion: where a text departs from it, and why. Owns the
exact verdict for what the quick parser refuses; must never build a value, so that numbers of any size pass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_DEPTH: Final = 500
"""Arrays and objects within each other that are taken; one more is refused."""

_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_INSIDE: Final = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_STRING: Final = re.compile(rb'"' + _INSIDE + rb'"')
_STRING_SO_FAR: Final = re.compile(rb'"' + _INSIDE)
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORD: Final = re.compile(rb"-?[A-Za-z]++")
_GLUED: Final = re.compile(rb"[0-9A-Za-z_.+\-]")
_BRACKETS_OUTSIDE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_OPENING: Final = b"[{"
_QUOTE: Final = ord('"')


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where a text is not JSON: ``offset`` in bytes, and ``why`` in words."""

    offset: int
    why: str


def deeper_than(text: bytes, depth: int) -> bool:
    """Whether a text known to be JSON nests its arrays and objects more than ``depth`` levels."""
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    level = 0
    for bracket in _BRACKETS_OUTSIDE.sub(b"", text).translate(None, _NOT_BRACKETS):
        if bracket in _OPENING:
            level += 1
            if level > depth:
                return True
        else:
            level -= 1
    return False


def first_fault(text: bytes, max_depth: int = MAX_DEPTH) -> Fault | None:
    """Where ``text``, which is valid UTF-8, is not one JSON value with space around it; ``None``: it is one."""
    closers: list[bytes] = []
    at = _after_space(text, 0)
    while True:
        # Here a value begins.
        head = text[at : at + 1]
        if head in (b"[", b"{"):
            if len(closers) == max_depth:
                return Fault(at, f"nested too deeply: at most {max_depth} levels are taken")
            closers.append(b"]" if head == b"[" else b"}")
            at = _after_space(text, at + 1)
            if text[at : at + 1] != closers[-1]:
                if head == b"{":
                    key = _key(text, at)
                    if isinstance(key, Fault):
                        return key
                    at = key
                continue
        else:
            end = _scalar(text, at)
            if isinstance(end, Fault):
                return end
            at = _after_space(text, end)
            if not closers:
                return None if at == len(text) else Fault(at, "something follows the end of the value")
        # Here a value has ended, or an empty array or object is about to.
        while closers and text[at : at + 1] == closers[-1]:
            closers.pop()
            at = _after_space(text, at + 1)
        if not closers:
            return None if at == len(text) else Fault(at, "something follows the end of the value")
        if text[at : at + 1] != b",":
            where = "an array" if closers[-1] == b"]" else "an object"
            if at == len(text):
                return Fault(at, f"{where} is not closed")
            return Fault(at, f'a "," or "{closers[-1].decode()}" is missing in {where}')
        comma, at = at, _after_space(text, at + 1)
        if text[at : at + 1] == closers[-1]:
            return Fault(comma, "a comma has nothing behind it")
        if closers[-1] == b"}":
            key = _key(text, at)
            if isinstance(key, Fault):
                return key
            at = key


def _after_space(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _key(text: bytes, at: int) -> int | Fault:
    """Past the key and the colon behind it, to where the value begins."""
    if text[at : at + 1] != b'"':
        return Fault(at, "an object is not closed" if at == len(text) else "a key in quotation marks is missing")
    end = _string(text, at)
    if isinstance(end, Fault):
        return end
    at = _after_space(text, end)
    if text[at : at + 1] != b":":
        return Fault(at, 'a ":" is missing behind a key')
    return _after_space(text, at + 1)


def _scalar(text: bytes, at: int) -> int | Fault:
    if at == len(text):
        return Fault(at, "a value is missing")
    if text[at] == _QUOTE:
        return _string(text, at)
    word = _WORD.match(text, at)
    if word is not None:
        if word[0] in (b"true", b"false", b"null"):
            return _unglued(text, word.end(), at, "no JSON value begins like this")
        if word[0].lstrip(b"-") in (b"NaN", b"Infinity"):
            return Fault(at, f"{word[0].decode()} is not JSON")
        return Fault(at, "no JSON value begins like this")
    number = _NUMBER.match(text, at)
    if number is None:
        return Fault(at, "no JSON value begins like this")
    return _unglued(text, number.end(), number.end(), "this is not a number as JSON writes them")


def _unglued(text: bytes, end: int, fault: int, why: str) -> int | Fault:
    return end if _GLUED.match(text, end) is None else Fault(fault, why)


def _string(text: bytes, at: int) -> int | Fault:
    whole = _STRING.match(text, at)
    if whole is not None:
        return whole.end()
    begun = _STRING_SO_FAR.match(text, at)
    end = at if begun is None else begun.end()
    if end == len(text):
        return Fault(end, "a string is not closed")
    if text[end : end + 1] == b"\\":
        return Fault(end, "a backslash begins no escape that JSON knows")
    return Fault(end, "a control character within a string must be written as an escape")
