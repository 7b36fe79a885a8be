"""Whose a token is, remembered: what was proven once costs one look-up of a dictionary. Owns what is remembered and how
many proofs are under way at once; must never keep a token, nor know how one is proven."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.values.who import CannotTell, NotProven, Who

T = TypeVar("T")
_log = Logger()

AT_ONCE: Final = 1_000
"""Proofs that may be under way or waited for; more senders are asked to come back."""
REFUSALS: Final = 10_000
"""Wrong tokens that are remembered, so that sending one again and again costs no proof."""
LONGEST: Final = 8 * 1024
"""Bytes; what is longer is no token."""


class Prove(Protocol):
    """Finds out whose a token is."""

    def prove(self, token: bytes) -> Deferred[Who]:
        """Fires with who it is, or fails with ``NotProven`` or ``CannotTell``; may run in a thread."""

    def still(self, who: Who) -> bool:
        """Whether what was proven before a change of the tokens or keys counts after it as well."""


class Authenticate:
    """Remembers the good and the bad.

    :param prove: how a token is proven that is not remembered.
    :param secret: random bytes under whose digest a token is remembered, so that nobody can aim at an entry and no
        token stays in memory.
    :param now_s: the wall clock, seconds since 1970.
    :param max_cached: how many good ones are remembered; those proven longest ago are forgotten first.
    """

    def __init__(self, prove: Prove, *, secret: bytes, now_s: Callable[[], float], max_cached: int) -> None:
        self._prove = prove
        self._secret = secret
        self._now_s = now_s
        self.max_cached = max_cached
        self._good: dict[bytes, Who] = {}
        self._bad: dict[bytes, str] = {}
        self._waiting: dict[bytes, list[Deferred[Who]]] = {}
        self._round = 0
        self.proofs = 0
        """Tokens that had to be proven."""

    def who(self, token: bytes) -> Who | Deferred[Who]:
        """Whose a token is: at once if it is remembered. Cancelling the Deferred lets go of the answer.

        :raises NotProven: it is nobody's; the Deferred may fail with it, too.
        :raises CannotTell: too many are being proven, or something needed for it is not there now; likewise.
        """
        digest = hashlib.blake2b(token, key=self._secret, digest_size=16).digest()
        found = self._good.get(digest)
        if found is not None:
            if found.until_s is None or self._now_s() < found.until_s:
                return found
            del self._good[digest]
        return self._unknown(digest, token)

    def _unknown(self, digest: bytes, token: bytes) -> Deferred[Who]:
        if digest in self._bad:
            raise NotProven(self._bad[digest])
        if len(token) > LONGEST:
            raise NotProven("it is too long")
        answer: Deferred[Who] = Deferred(lambda gone: self._let_go(digest, gone))
        waiting = self._waiting.get(digest)
        if waiting is not None:
            waiting.append(answer)
        elif len(self._waiting) >= AT_ONCE:
            raise CannotTell("too many tokens are being proven at this moment")
        else:
            self._waiting[digest] = [answer]
            self._begin(digest, token)
        return answer

    def _let_go(self, digest: bytes, answer: Deferred[Who]) -> None:
        waiting = self._waiting.get(digest, [])
        if answer in waiting:
            waiting.remove(answer)

    def _begin(self, digest: bytes, token: bytes) -> None:
        self.proofs += 1
        self._prove.prove(token).addBoth(self._proven, digest, token, self._round)

    def _proven(self, result: Who | Failure, digest: bytes, token: bytes, begun: int) -> None:
        if begun != self._round:
            # The tokens or keys have changed meanwhile: what was found by the old ones does not count.
            self._begin(digest, token)
            return
        waiting = self._waiting.pop(digest)
        if isinstance(result, Who):
            _remember(self._good, digest, result, self.max_cached)
        elif result.check(NotProven):
            _remember(self._bad, digest, cast(NotProven, result.value).reason, REFUSALS)
        elif not result.check(CannotTell):
            _log.failure("a token could not be proven", result)
            result = Failure(CannotTell("a fault of the gateway's own; its log tells"))
        for answer in waiting:
            answer.callback(result)  # a Failure makes it fail

    def changed(self) -> None:
        """The tokens or keys are others now: what no longer counts is forgotten, and every refusal."""
        self._round += 1
        self._bad.clear()
        self._good = {digest: who for digest, who in self._good.items() if self._prove.still(who)}

    @property
    def remembered(self) -> int:
        """How many good tokens are remembered."""
        return len(self._good)


def _remember(table: dict[bytes, T], digest: bytes, value: T, most: int) -> None:
    while len(table) >= most:
        del table[next(iter(table))]
    table[digest] = value
