"""Whether the bytes read for an upload are still those that are to go. Owns that comparison, also over several parts;
must never read a file by itself, nor let a slice pass that does not fit its digest."""

from __future__ import annotations

from hashlib import sha256

from lf6gateway.stores.store import Body, Slice
from lf6gateway.values.failure import Kind, StoreError


class Comparison:
    """Fed with a body's bytes in their order, in as many calls as it takes. Any one thread at a time.

    :param body: its slices tell their digests, where these are known; the others are not compared.
    """

    def __init__(self, body: Body) -> None:
        self._slices = [one for one in body.slices if one.length]
        self._needed = any(one.sha256 is not None for one in self._slices)
        self._at = 0
        self._begin()

    def _begin(self) -> None:
        self._left = self._slices[self._at].length if self._at < len(self._slices) else 0
        self._digest = sha256()

    def feed(self, data: bytes) -> None:
        """Some more of the body; no more than the rest of one slice.

        :raises StoreError: ``DAMAGED``: a slice ends here, and is not what it was. Nothing of it may go.
        """
        if not self._needed:
            return
        present = self._slices[self._at]
        assert len(data) <= self._left, "a piece belongs to one slice"
        if present.sha256 is not None:
            self._digest.update(data)
        self._left -= len(data)
        if not self._left:
            if present.sha256 is not None:
                must_be(present, self._digest.hexdigest())
            self._at += 1
            self._begin()


def must_be(piece: Slice, found: str) -> None:
    """Compare the digest of what was read with the one that is known.

    :param found: SHA-256 in hex.
    :raises StoreError: ``DAMAGED``: they differ; the store has no part in that.
    """
    if piece.sha256 is not None and piece.sha256 != found:
        raise StoreError(
            Kind.DAMAGED,
            f"read {piece.path}",
            "it is no longer what it was when it was compared with its digest",
            applied=False,
        )
