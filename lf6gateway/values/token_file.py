"""The tokens file: a line for each token, ``user: hash id=… created=… expires=… streams=…``. Owns its grammar and its
editing as text; must never touch a file, nor hold a token itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from lf6gateway.values.stream import Stream
from lf6gateway.values.token import check_hash, is_id
from lf6gateway.values.username import BadUsername, check_username, parse_username

EVERY_STREAM: Final = frozenset(Stream)
HEADER: Final = (
    "# The tokens of lf6gateway: user: hash id=... created=... expires=... streams=...\n"
    "# Edit it with: lf6gateway token add|list|revoke|rotate. Nothing in here can be used as a token.\n"
)
_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one token: everything but the token. Moments are in whole seconds since 1970."""

    user: str
    hash: str
    id: str
    created_s: int | None = None
    expires_s: int | None = None
    streams: frozenset[Stream] = EVERY_STREAM

    def __repr__(self) -> str:
        return f"Token({self.user!r}, id={self.id})"


class BadTokenFile(ValueError):
    """A tokens file that cannot be used; the text lists each mistake with its line, and repeats no hash."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


def parse_tokens(text: str, name: str) -> dict[str, Token]:
    """The tokens of a file by their ids.

    :param name: the file's, for messages.
    :raises BadTokenFile: a line is not as it must be.
    """
    tokens: dict[str, Token] = {}
    mistakes: list[str] = []
    for number, line in _meant(text):
        try:
            token = parse_line(line)
            if token.id in tokens:
                raise ValueError(f"has the id {token.id}, which a line above has already; remove one of them")
            tokens[token.id] = token
        except ValueError as error:
            mistakes.append(f"{name}:{number}: {error}")
    if mistakes:
        raise BadTokenFile(mistakes)
    return tokens


def parse_line(line: str) -> Token:
    """One token from its line.

    :raises ValueError: the line is not as it must be; the message says what would be right.
    """
    name, colon, rest = line.partition(":")
    words = rest.split()
    if not colon or not words:
        raise ValueError("is not of the form user: hash id=...; lf6gateway token add writes such lines")
    if _STRAY_PERCENT.search(name):
        raise ValueError("has a % in the user's name that does not begin %XX; write %25 for the sign itself")
    try:
        user = parse_username(unquote_to_bytes(name.strip()))
    except BadUsername as error:
        raise ValueError(str(error)) from None
    check_hash(words[0])
    found: dict[str, str] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or key not in ("id", "created", "expires", "streams"):
            raise ValueError("has a word that is none of id=, created=, expires= and streams=; remove it")
        if key in found:
            raise ValueError(f"has {key}= twice; remove one of them")
        found[key] = value
    if not is_id(found.get("id", "")):
        raise ValueError("has no id= of 13 letters and digits, by which the token is found; make it with token add")
    return Token(
        user=user,
        hash=words[0],
        id=found["id"],
        created_s=_moment(found, "created"),
        expires_s=_moment(found, "expires"),
        streams=parse_streams(found["streams"]) if "streams" in found else EVERY_STREAM,
    )


def parse_streams(text: str) -> frozenset[Stream]:
    """Some streams from their names, separated by commas.

    :raises ValueError: a name is none of a stream.
    """
    try:
        return frozenset(Stream(name) for name in text.split(","))
    except ValueError:
        raise ValueError(f"streams= takes some of {', '.join(Stream)}, separated by commas") from None


def _moment(found: dict[str, str], key: str) -> int | None:
    if key not in found:
        return None
    try:
        return int(datetime.strptime(found[key], _STAMP).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ValueError(f"has a {key}= that is no moment; write it like 2027-01-31T00:00:00Z") from None


def format_moment(seconds: int) -> str:
    """A moment as the file has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_STAMP)


def format_line(token: Token) -> str:
    """A token as its line, with the line's end."""
    check_username(token.user)
    words = [quote(token.user, safe="@+,") + ":", token.hash, f"id={token.id}"]
    if token.created_s is not None:
        words.append(f"created={format_moment(token.created_s)}")
    if token.expires_s is not None:
        words.append(f"expires={format_moment(token.expires_s)}")
    if token.streams != EVERY_STREAM:
        words.append(f"streams={','.join(sorted(token.streams))}")
    return " ".join(words) + "\n"


def edited(text: str, *, added: Iterable[Token] = (), removed: Iterable[str] = ()) -> str:
    """A file's text with some tokens put at its end and those of some ids taken out; all else stays as it is."""
    gone = set(removed)
    kept = [line for line in text.splitlines(keepends=True) if _id_in(line) not in gone]
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return (HEADER if not text.strip() else "") + "".join(kept) + "".join(format_line(token) for token in added)


def _id_in(line: str) -> str | None:
    if line.lstrip().startswith("#"):
        return None
    words = line.partition(":")[2].split()
    return next((word[3:] for word in words if word.startswith("id=")), None)


def _meant(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line
