"""The kinds of value a configuration key can have. Owns how each is read from text and the words that say what would be
right; must never know a key's name, nor repeat a value that may be secret."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

from lf6gateway.values.duration import Duration, parse_duration
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.size import format_size, parse_size

PREFIX_BYTES: Final = 400
"""The longest prefix: what S3's 1,024 bytes a key leave beside a user name, the date and a file name."""


def _from_text(read: Callable[[str], Any]) -> BeforeValidator:
    # Values that are no text come from a program that builds its settings itself; pydantic checks their type.
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


def _no_control(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed; remove it")
    return text


def _duration(text: str) -> Duration:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} {error}") from None


Span = Annotated[Duration, _from_text(_duration)]
"""A positive span of time."""


def amount(least: int, most: int) -> BeforeValidator:
    """Reads a number of bytes within bounds, both included."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            try:
                size = parse_size(value)
            except ValueError as error:
                raise ValueError(f"{shown(value)} {error}") from None
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        else:
            return value
        if not least <= size <= most:
            raise ValueError(f"must be from {format_size(least)} to {format_size(most)}, not {format_size(size)}")
        return size

    return BeforeValidator(read)


def count(least: int, most: int) -> BeforeValidator:
    """Reads a whole number within bounds, both included."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            if not re.fullmatch(r"-?[0-9][0-9_]{0,20}", value):
                raise ValueError(f"{shown(value)} is no whole number; write one from {least} to {most}")
            value = int(value.replace("_", ""))
        if isinstance(value, int) and not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}, not {value}")
        return value

    return BeforeValidator(read)


def choice(*names: str) -> BeforeValidator:
    """Reads one of some words."""

    def read(text: str) -> str:
        if text not in names:
            near = difflib.get_close_matches(text.lower(), names, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{shown(text)} is not one of {', '.join(names)}{hint}")
        return text

    return _from_text(read)


def _flag(text: str) -> bool:
    # The words of YAML 1.1, and the digits usual in the environment; Pydantic would take t and y, too.
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    value = words.get(text.lower())
    if value is None:
        raise ValueError(f"{shown(text)} is neither true nor false")
    return value


Flag = Annotated[bool, _from_text(_flag)]
"""Yes or no."""


def _path(text: str) -> str:
    if not text:
        raise ValueError("is empty; give the path of a folder or file")
    if text.startswith("~"):
        raise ValueError(f"{shown(text)} begins with ~, which is not expanded; write the whole path")
    if not posixpath.isabs(text):
        raise ValueError(f"{shown(text)} is not an absolute path")
    return posixpath.normpath(_no_control(text))


AbsolutePath = Annotated[str, _from_text(_path)]
"""The path of a file or folder, from the root."""


def _bucket(text: str) -> str:
    # Only what no S3 would take: what AWS refuses beyond that matters only without an endpoint, see settings_rules.
    if (
        not re.fullmatch(r"[A-Za-z0-9._-]{3,255}", text)
        or ".." in text
        or not (text[0].isalnum() and text[-1].isalnum())
    ):
        raise ValueError(
            f"{shown(text)} is no bucket name; it has 3 to 63 lower-case letters, digits, dots and hyphens, and begins "
            "and ends with a letter or digit"
        )
    return text


Bucket = Annotated[str, _from_text(_bucket)]
"""The name of a bucket."""


def aws_refuses(bucket: str) -> bool:
    """Whether a name is none that AWS itself takes (other makers' S3 is often less strict)."""
    return (
        not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket)
        or re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", bucket) is not None
        or bucket.startswith(("xn--", "sthree-"))
    )


def _prefix(text: str) -> str:
    bare = _no_control(text).rstrip("/")
    if not text:
        return ""
    if text.startswith("/"):
        raise ValueError(f"{shown(text)} begins with a slash; write {shown(text.strip('/')) if bare else 'nothing'}")
    if any(part in (".", "..") for part in bare.split("/")):
        raise ValueError(f"{shown(text)} has a part that is . or ..; remove it")
    if len(bare.encode("utf-8", "surrogatepass")) > PREFIX_BYTES:
        raise ValueError(f"is longer than {PREFIX_BYTES} bytes, which leaves too little of a key; shorten it")
    return bare + "/"


Prefix = Annotated[str, _from_text(_prefix)]
"""The beginning of keys: empty, or ending in exactly one slash."""


def _endpoint(text: str) -> str:
    # The value is not repeated in any message: a URL is a place where people put passwords.
    try:
        parts = urlsplit(_no_control(text))
        port = parts.port
    except ValueError:
        raise ValueError("is no URL; write it like http://127.0.0.1:9000 or https://s3.example.com") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in text or port == 0:
        raise ValueError("is no URL of http or https; write it like http://127.0.0.1:9000 or https://s3.example.com")
    if "@" in parts.netloc:
        raise ValueError("has a user name in it; remove it, and set aws.access_key_id and aws.secret_access_key")
    if "?" in text or "#" in text:
        raise ValueError("has a query or a fragment; remove it")
    return text.rstrip("/")


Endpoint = Annotated[str, _from_text(_endpoint)]
"""The URL of an S3 service, without a slash at its end."""


def _named(pattern: str, right: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(right)
        return text

    return read


Region = Annotated[
    str, _from_text(_named(r"[A-Za-z0-9_-]{1,64}", "is no name of a region; one looks like eu-central-1"))
]
"""The name of a region."""

Profile = Annotated[str, _from_text(_named(r"\S[^\x00-\x1f\x7f]{0,127}", "is no name of a profile in ~/.aws/config"))]
"""The name of a profile in the AWS configuration files."""

Hostname = Annotated[
    str,
    _from_text(
        _named(
            r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}",
            "is no host name; it has letters, digits, dots, hyphens and underscores, begins with a letter or digit, "
            "and is at most 253 characters long",
        )
    ),
]
"""The name a machine gives its objects."""


def _secret(text: str) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]{1,8192}", text):
        raise ValueError("is empty or holds a blank or a character that is not ASCII; copy it again")
    return SecretStr(text)


Secret = Annotated[SecretStr, _from_text(_secret)]
"""Something that no print-out shows."""


def _listen(texts: Sequence[str]) -> tuple[str, ...]:
    wrong = [
        f"{shown(text)} is no endpoint string of Twisted; {_endpoint_hint(text)}"
        for text in texts
        if not _names_endpoint(text)
    ]
    if wrong:
        raise ValueError(", and ".join(wrong))
    return tuple(texts)


def _names_endpoint(text: str) -> bool:
    return text.isprintable() and re.fullmatch(r"[a-z][a-z0-9+-]*:.+", text) is not None


def _endpoint_hint(text: str) -> str:
    found = re.fullmatch(r"(?:(.+):|:)?([0-9]{1,5})", text)
    if not found:
        return "write one like tcp:8080, unix:/run/lf6gateway.sock or systemd:domain=INET:index=0"
    host = found[1] or ""
    if not host:
        return f"write tcp:{found[2]}"
    kind = "tcp6" if host.startswith("[") else "tcp"
    return f"write {kind}:{found[2]}:interface=" + host.strip("[]").replace(":", "\\:")


Listen = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: _listen(value.split()) if isinstance(value, str) else _listen(tuple(value))),
]
"""Endpoint strings of Twisted; as one text they are separated by blanks."""


def _workers(value: Any) -> Any:
    if value == "auto":
        return value
    try:
        return count(1, 64).func(value)  # type: ignore[call-arg]
    except ValueError as error:
        raise ValueError(f"{error}; or auto") from None


Workers = Annotated[int | Literal["auto"], BeforeValidator(_workers)]
"""A number of processes."""
