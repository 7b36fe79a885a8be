"""How a large body is cut for a multipart upload. Owns S3's bounds on parts; must never read a byte or send a request.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""

from __future__ import annotations

from typing import Final

from lf6gateway.stores.store import Body, Slice

MIB: Final = 1024 * 1024
LARGEST_PUT: Final = 5 * 1024 * MIB
"""Bytes S3 takes in one PutObject, and in one UploadPartCopy."""
SMALLEST_PART: Final = 5 * MIB
"""Bytes of every part but the last."""
MOST_PARTS: Final = 10_000


def cut(body: Body, size: int, most: int = MOST_PARTS) -> list[Body]:
    """A body in parts of ``size`` bytes, the last one shorter; larger ones where there would be more than ``most``."""
    size = max(size, SMALLEST_PART, -(-body.length // most))
    parts: list[Body] = []
    present: list[Slice] = []
    room = size
    for piece in body.slices:
        offset, left = piece.offset, piece.length
        while left:
            taken = min(left, room)
            present.append(Slice(piece.path, offset, taken))
            offset, left, room = offset + taken, left - taken, room - taken
            if not room:
                parts.append(Body(tuple(present)))
                present, room = [], size
    if present:
        parts.append(Body(tuple(present)))
    return parts


def spans(size: int) -> list[tuple[int, int]]:
    """An object's bytes, by first and last, in spans that one UploadPartCopy can take, none too short for a part."""
    count = -(-size // LARGEST_PUT)
    step = -(-size // count)
    return [(start, min(start + step, size) - 1) for start in range(0, size, step)]
