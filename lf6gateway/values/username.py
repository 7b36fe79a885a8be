"""Who sends: which names a user may have. Owns that rule; must never look a name up, nor know where it was written."""

from __future__ import annotations

import re
from typing import Final

MAX_CHARACTERS: Final = 128
"""How long a name may be, in characters."""

_LAST_OF_C0: Final = "\x1f"
_FIRST_OF_C1: Final = "\x7f"
_LAST_OF_C1: Final = "\x9f"


_DOUBTFUL: Final = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class BadUsername(ValueError):
    """A name that no user can have; the text says why, and does not repeat the name."""


def parse_username(sent: bytes) -> str:
    """The name of a user, from the bytes that were sent.

    :raises BadUsername: not UTF-8; empty, too long, ``.`` or ``..``, or holding a control character, ``/``, ``\\``.
    """
    try:
        name = sent.decode()
    except UnicodeDecodeError:
        raise BadUsername("the user's name is not UTF-8") from None
    check_username(name)
    return name


def check_username(name: str) -> None:
    """Pass a name that a user can have.

    :raises BadUsername: it cannot be one.
    """
    if not name:
        raise BadUsername("the user's name is empty")
    if len(name) > MAX_CHARACTERS:
        raise BadUsername(f"the user's name has {len(name)} characters; {MAX_CHARACTERS} are the most")
    if name in (".", ".."):
        raise BadUsername('the user\'s name is "." or "..", which would lead to another folder')
    if _DOUBTFUL.search(name) is None:
        return
    for character in name:
        if character in "/\\":
            raise BadUsername(f'the user\'s name holds "{character}"')
        if character <= _LAST_OF_C0 or _FIRST_OF_C1 <= character <= _LAST_OF_C1:
            raise BadUsername(f"the user's name holds the control character U+{ord(character):04X}")
        if "\ud800" <= character <= "\udfff":
            raise BadUsername("the user's name is not UTF-8")
