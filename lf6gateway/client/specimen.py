"""What is handed over as a specimen: a path or a file, its size and what is told of it. Owns the reading of these; must
never read the specimen itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias
from urllib.parse import quote

from lf6gateway.client.failures import NotSendable

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, or a file opened in binary mode, which is read from where it stands to its end."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """A specimen that is about to be copied.

    :param head: its ``uri``, and its ``content_type`` where it is known.
    """

    source: Source
    head: dict[str, str]

    @contextmanager
    def opened(self) -> Iterator[tuple[BinaryIO, int]]:
        """Its file, and how many bytes it seems to have.

        :raises OSError: it cannot be opened.
        :raises NotSendable: it is no regular file.
        """
        if not isinstance(self.source, str | os.PathLike):
            yield self.source, _left(self.source)
            return
        # Without O_NONBLOCK a named pipe would keep us until somebody writes to it.
        with open(os.open(self.source, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise NotSendable(f"{os.fspath(self.source)} is no regular file")
            yield file, status.st_size


def specimen_of(source: Source, uri: str | None, content_type: str | None) -> Specimen:
    """What was handed over.

    :raises NotSendable: nothing says what the specimen is called, or its ``content_type`` is none.
    """
    if uri is None:
        name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
        if not isinstance(name, str | os.PathLike):
            raise NotSendable("a file without a name needs a uri")
        uri = Path(os.path.abspath(name)).as_uri()
    if not uri:
        raise NotSendable("the uri is empty")
    head = {"uri": uri}
    if content_type is not None:
        if not content_type or not content_type.isascii() or not content_type.isprintable() or len(content_type) > 255:
            raise NotSendable("the content type is none; one looks like image/png")
        head["content_type"] = content_type
    return Specimen(source, head)


def path_of(uri: str) -> str:
    """The path and query of its request."""
    return "/specimen?uri=" + quote(uri, safe="", errors="surrogateescape")


def _left(file: BinaryIO) -> int:
    try:
        return max(0, os.fstat(file.fileno()).st_size - file.tell())
    except (OSError, AttributeError, ValueError):
        return 0  # not known; it is counted as it is read
