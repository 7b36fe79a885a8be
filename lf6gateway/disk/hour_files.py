"""The files of one hour that its shipper keeps: the ledger, the sealed members, the copy of a present object. Owns
their reading, writing and removal; must never decide that a member may go."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.disk.folders import BASE, LEDGER, MemberFile, check_member_file, read_member_file
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.stream import Stream

_log = Logger()


class HourFiles:
    """One hour's folder. All methods block."""

    def __init__(self, fs: FileSystem, folder: str, stream: Stream, quarantine: Quarantine) -> None:
        self._fs = fs
        self._folder = folder
        self._stream = stream
        self._quarantine = quarantine

    def read(
        self, paths: Sequence[tuple[int, str]], with_ledger: bool, salvage: bool
    ) -> tuple[HourLedger | None, list[MemberFile], bool, int]:
        """The ledger, the members at some paths, whether the ledger, or that there is none, can be relied on, and the
        bytes of members that went to quarantine: what is damaged, and with ``salvage`` what the disk cannot read.

        :raises OSError: the disk failed; nothing of what was to be read is forgotten.
        """
        ledger = None
        path = os.path.join(self._folder, LEDGER)
        if with_ledger:
            try:
                ledger = HourLedger.decode(read_small(self._fs, path))
            except FileNotFoundError:
                pass
            except (ValueError, OSError) as error:
                if isinstance(error, OSError) and not _given_up(error, salvage):
                    raise
                # It is replaced and not just moved: having none would say that nothing was ever attempted.
                self._quarantine.keep(path, self._stream.value, str(error))
                ledger = HourLedger(multipart=True, certain=False)
                self.write_ledger(ledger)
        certain = ledger is None or ledger.certain
        files = []
        freed = 0
        for _, member_path in paths:
            try:
                files.append(read_member_file(self._fs, member_path))
            except FileNotFoundError:
                _log.warn("{path} was gone already", path=member_path)  # set aside at an attempt that failed later
            except (Damaged, OSError) as error:
                freed += self._set_aside(member_path, error, salvage)
        return ledger, files, certain, freed

    def check(self, files: Sequence[MemberFile], salvage: bool) -> dict[str, str]:
        """Read members whole; the SHA-256 of each sound one, in hex, by its path. Those that are damaged, or (with
        ``salvage``) cannot be read, are in quarantine now.

        :raises OSError: the disk failed.
        """
        sound = {}
        for file in files:
            try:
                sound[file.path] = check_member_file(self._fs, file)
            except FileNotFoundError:
                _log.error("{path} is gone, though nothing here removed it", path=file.path)
            except (Damaged, OSError) as error:
                self._set_aside(file.path, error, salvage)
        return sound

    def _set_aside(self, path: str, error: Damaged | OSError, salvage: bool) -> int:
        if isinstance(error, OSError) and not _given_up(error, salvage):
            raise error
        return self._quarantine.take(path, self._stream.value, error.why if isinstance(error, Damaged) else str(error))

    def write_ledger(self, ledger: HourLedger) -> None:
        """Note durably how far the hour is."""
        self._fs.make_dirs(self._folder)
        replace_file(self._fs, os.path.join(self._folder, LEDGER), ledger.encode())

    def fresh_base(self) -> tuple[Handle, str]:
        """An empty file for the bytes of the present object, and its path."""
        path = os.path.join(self._folder, BASE)
        if self._fs.exists(path):
            self._fs.unlink(path)
        self._fs.make_dirs(self._folder)
        return self._fs.create(path), path

    def remove(self, paths: Sequence[str], gone: Callable[[str], object]) -> None:
        """Remove members; ``gone`` is told of each as it goes."""
        for path in paths:
            try:
                self._fs.unlink(path)
            except FileNotFoundError:
                _log.warn("{path} was gone already", path=path)
            gone(path)
        base = os.path.join(self._folder, BASE)
        if self._fs.exists(base):
            self._fs.unlink(base)

    def remove_folder(self) -> None:
        """Remove the ledger, and the folder where nothing else is in it."""
        path = os.path.join(self._folder, LEDGER)
        if self._fs.exists(path):
            self._fs.unlink(path)
        if self._fs.exists(self._folder) and not any(True for _ in self._fs.scan(self._folder)):
            self._fs.remove_dir(self._folder)


def _given_up(error: OSError, salvage: bool) -> bool:
    """Whether an error means that the disk will never read it."""
    return salvage and error.errno == errno.EIO
