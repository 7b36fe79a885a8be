"""Where delivered objects are, as somebody says on a command line: ``s3://bucket/prefix`` or a folder. Owns that
spelling, and under which prefix a stream then lies; must never look there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.settings_problem import shown
from lf6gateway.values.stream import Stream
from lf6gateway.values.window import is_year

_FORMS: Final = "write it like s3://bucket/prefix or /a/folder"
_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{3,255}")
_STREAM: Final = re.compile(rf"({'|'.join(Stream)})=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket, or a folder.

    :param bucket: empty for a folder.
    :param folder: its absolute path; empty for a bucket.
    :param prefix: within the bucket: empty, or ending in a slash.
    :param stream: the one stream that lies right there; ``None``: it is to be found out which lie there.
    """

    bucket: str
    folder: str
    prefix: str
    stream: Stream | None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" if self.bucket else self.folder


def parse_location(text: str, cwd: str) -> Location:
    """The place that a text names; ``usage=s3://bucket/prefix`` says which stream lies right there.

    :param cwd: the folder that relative paths start from.
    :raises ValueError: it names none; the message says what would be right.
    """
    stream = None
    if named := _STREAM.fullmatch(text):
        stream, text = Stream(named[1]), named[2]
    if not text or not text.isprintable():
        raise ValueError(f"{shown(text)} is no place; {_FORMS}")
    scheme, colon, rest = text.partition("://")
    if colon and scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError(f"{shown(text)} names no bucket; {_FORMS}")
        bare = prefix.strip("/")
        if any(part in ("", ".", "..") for part in bare.split("/")) and bare:
            raise ValueError(f"{shown(text)} has a part that is empty, . or ..; remove it")
        return Location(bucket, "", f"{bare}/" if bare else "", stream)
    if colon and scheme == "file":
        text = rest
    elif colon:
        raise ValueError(f"{shown(text)} is neither S3 nor a folder; {_FORMS}, and name a store's URL with --endpoint")
    return Location("", posixpath.normpath(posixpath.join(cwd, text)), "", stream)


def stream_prefix(stream: Stream, prefix: str, names: Collection[str]) -> str | None:
    """Under which prefix a stream lies, at a place where it was not said; ``None``: not there.

    It is the folder of the stream's name, where there is one; else the place itself, where folders of years are right
    there, or of users, for specimens.

    :param prefix: of the place.
    :param names: the folders right below it.
    """
    if stream.value in names:
        return f"{prefix}{stream.value}/"
    own = prefix.rstrip("/").rpartition("/")[2]
    if own in set(Stream) and own != stream.value:
        return None
    years = any(map(is_year, names))
    if stream is not Stream.SPECIMEN:
        return prefix if years else None
    others = [other for other in Stream if other.value in names]
    return prefix if names and not years and not others else None
