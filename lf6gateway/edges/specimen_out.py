"""Specimens on their way to a file, a folder or standard output. Owns where each goes, which is never outside of the
folder that was named, that its bytes are those that were received, and that nothing is written over."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from contextlib import aclosing, suppress
from typing import BinaryIO, Final

from lf6gateway.disk.offload import Offload
from lf6gateway.edges.commands.refusal import Refusal
from lf6gateway.services.patient import PatientStore
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.failure import Kind, StoreError

_UNSAFE: Final = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST: Final = 200


class SpecimenOut:
    """See the module.

    :param output: the file or folder; ``None``: standard output, for one.
    :param one: whether one specimen alone is asked for.
    :raises Refusal: that is no place for it.
    """

    def __init__(self, store: PatientStore, offload: Offload, output: str | None, one: bool) -> None:
        self._store = store
        self._offload = offload
        self._output = output
        self._folder = output is not None and (not one or os.path.isdir(output))
        self.fetched = 0
        if output is None:
            if not one:
                raise Refusal("several specimens need a folder: name it with -o FOLDER/")
            if sys.stdout.isatty():
                raise Refusal("a specimen can hold anything, which a terminal may obey: name a file with -o FILE")

    async def fetch(self, found: Delivered) -> str | None:
        """Fetch one; where it is, in words, or ``None`` where it went to standard output.

        :raises StoreError: it cannot be had.
        :raises ValueError: it is not what was received, or something else is in its place; the text says what to do.
        """
        present = await self._store.head(found.key)
        if present is None:
            raise StoreError(
                Kind.GONE, "read it", "there is no such object", remedy="lf6gateway ls specimen shows what there is"
            )
        told = present.metadata.get("sha256")
        if self._output is None:
            await self._copy(found, sys.stdout.buffer, told)
            await self._offload(sys.stdout.buffer.flush)
            self.fetched += 1
            return None
        path = self._path(found)
        where = await self._offload(lambda: _made(path))
        if where is not None and await self._offload(lambda: _same(path, told, present.size)):
            self.fetched += 1
            return f"is in {path} already"
        if where is not None:
            raise ValueError(f"{path} is there already and is something else; move it, or name another place with -o")
        await self._write(found, path, told)
        self.fetched += 1
        return f"is in {path}" + ("" if told else "; it carries no digest to compare it with")

    def _path(self, found: Delivered) -> str:
        assert self._output is not None
        if not self._folder:
            return self._output
        name = found.key.rpartition("/")[2]
        return os.path.join(self._output, file_name(found.user), file_name(name))

    async def _write(self, found: Delivered, path: str, told: str | None) -> None:
        temporary = f"{path}.{secrets.token_hex(4)}.part"
        try:
            file = await self._offload(lambda: open(temporary, "xb"))  # noqa: SIM115
            try:
                await self._copy(found, file, told)
            finally:
                await self._offload(file.close)
            await self._offload(lambda: os.link(temporary, path))  # not over what is there by now
        except FileExistsError as error:
            raise ValueError(f"{path} is there already; move it, or name another place with -o") from error
        except OSError as error:
            raise Refusal(f"{path}: {error.strerror or error}; name a place with -o that can be written") from error
        finally:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                os.unlink(temporary)

    async def _copy(self, found: Delivered, file: BinaryIO, told: str | None) -> None:
        digest = hashlib.sha256()

        def write(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        async with aclosing(self._store.get(found.key)) as chunks:
            async for chunk in chunks:
                await self._offload(lambda chunk=chunk: write(chunk))  # type: ignore[misc]
        if told is not None and told != digest.hexdigest():
            raise ValueError(
                f"its SHA-256 is {digest.hexdigest()}, and its metadata say {told[:64]}: it is not what was received; "
                "restore it from an earlier version or a copy"
            )


def file_name(text: str) -> str:
    """A name that stays in its folder and is seen there, whatever it was made of."""
    name = _UNSAFE.sub("_", text)
    if name.startswith("."):
        name = "_" + name[1:]
    while len(name.encode()) > _LONGEST:
        name = name[1:]
    return name or "_"


def _made(path: str) -> os.stat_result | None:
    """What is at a path whose folder is made, where it is missing."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}; name a place with -o that can be written") from error


def _same(path: str, told: str | None, size: int) -> bool:
    if told is None or not os.path.isfile(path) or os.path.islink(path) or os.path.getsize(path) != size:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == told
