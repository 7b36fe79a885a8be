"""Where a specimen goes, and what stands beside it. Owns the spelling of its key, its metadata and its content type;
must never look at the file."""

from __future__ import annotations

import mimetypes
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from lf6gateway.values.object_key import LONGEST_KEY

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}( *;[\x20-\x7e]{0,200})?")
_ROOM: Final = 2048 - 8 * len("x-amz-meta-")
"""Bytes of metadata, names and values. S3 counts 2 KB without the prefix of each name, MinIO with it."""
_USER_ROOM: Final = 512
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%") + " "
_LONGEST_EXT: Final = 32
_TYPES: Final = mimetypes.MimeTypes(filenames=())


def split_name(uri: str) -> tuple[str, str]:
    """File name and extension (without its dot) by the last path segment of a uri, without its query and fragment.

    ``archive.tar.gz`` has the extension ``gz``; a name that only begins with a dot has none; no name is
    ``specimen``."""
    path = uri.split("#", 1)[0].split("?", 1)[0]
    segment = _UNSAFE.sub("_", path.rpartition("/")[2]) or "specimen"
    stem, dot, ext = segment.rpartition(".")
    if not dot or not stem.strip(".") or not ext:
        return segment.rstrip(".") or "specimen", ""
    return stem, ext


def specimen_key(prefix: str, user: str, uri: str, received_ns: int, attempt: int = 0) -> str:
    """``{prefix/}{username}/YYYY/MM/DD/{filename}.{timestamp}.{ext}``, at most 1,024 bytes long.

    :param prefix: empty, or ending in a slash.
    :param received_ns: moment of reception, nanoseconds since 1970.
    :param attempt: counted up where an object of somebody else has the key; it is added to the timestamp.
    """
    stem, ext = split_name(uri)
    ext = ext[:_LONGEST_EXT]
    day = datetime.fromtimestamp(received_ns // 1_000_000_000, UTC).strftime("%Y/%m/%d")
    front = f"{prefix}{user}/{day}/"
    end = f".{received_ns + attempt}" + (f".{ext}" if ext else "")
    room = LONGEST_KEY - len(front.encode("utf-8")) - len(end)
    return front + stem[: max(1, room)] + end


def specimen_metadata(*, uri: str, user: str, identity: str, sha256: str) -> dict[str, str]:
    """The metadata of a specimen's object: plain ASCII, whatever the uri and the user's name hold."""
    metadata = {"specimen-id": identity, "sha256": sha256}
    _add(metadata, "user", _escape(user), _USER_ROOM)
    taken = sum(len(name) + len(value) for name, value in metadata.items())
    _add(metadata, "uri", _escape(uri), _ROOM - taken - len("uri" + "uri-cut" + "true"))
    return metadata


def _add(metadata: dict[str, str], name: str, escaped: str, room: int) -> None:
    if len(escaped) > room:
        escaped = re.sub(r"%[0-9A-F]?$", "", escaped[:room])  # not within an escape
        metadata[f"{name}-cut"] = "true"
    metadata[name] = escaped


def _escape(text: str) -> str:
    """Percent-encoded where it is not plain ASCII; text that is plain ASCII stays as it is.

    A ``%`` stays in plain text; where anything had to be encoded, it is encoded too, so that decoding is exact."""
    plain = text.isascii() and text.isprintable() and text == text.strip()
    if plain:
        return text
    escaped = quote(text, safe=_PLAIN, errors="surrogatepass")
    body = escaped.strip(" ")
    lead, tail = len(escaped) - len(escaped.lstrip(" ")), len(escaped) - len(escaped.rstrip(" "))
    return "%20" * lead + body + ("%20" * tail if body else "")


def content_type_of(sent: str | None, uri: str) -> str:
    """The sender's, where it is one; else by the extension; else ``application/octet-stream``."""
    if sent is not None and _TYPE.fullmatch(sent.strip()):
        return sent.strip()
    ext = split_name(uri)[1].lower()
    return _TYPES.types_map[1].get(f".{ext}", "application/octet-stream") if ext else "application/octet-stream"
