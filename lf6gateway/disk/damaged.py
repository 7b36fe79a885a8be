"""Something on disk that is not what was written. Owns the exception; what to do about it is its catcher's business."""

from __future__ import annotations


class Damaged(Exception):
    """A file does not hold what its format says.

    :param path: the file.
    :param offset: the byte at which it goes wrong.
    :param why: what is wrong there.
    """

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: at byte {offset}: {why}")
        self.path = path
        self.offset = offset
        self.why = why
