"""Bodies on their way in: records gathered, decoded and checked, specimens passed on to disk as they come. Owns the
limits a body is held to and the pace of its sender; must never know which parser feeds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.offload import Offload
from lf6gateway.edges import problems
from lf6gateway.edges.body import STEP, Decoder, TooMuch, decode_whole, decoder_for
from lf6gateway.edges.memory import Share
from lf6gateway.edges.message import ACKNOWLEDGED, Answer, Flow
from lf6gateway.edges.room import Room, pace
from lf6gateway.services.receiving import Takes, TakesSpecimen
from lf6gateway.values.json_record import check_batch, check_record
from lf6gateway.values.limits import Limits
from lf6gateway.values.pieces import Pieces
from lf6gateway.values.problem import Refused
from lf6gateway.values.stream import Stream

_log = Logger()

LARGE: Final = 64 * 1024
"""Bodies of JSON above this size, in bytes, are checked in a thread; below, that would cost more than it saves."""
SPECIMEN_AHEAD: Final = 1024 * 1024
"""How much of a specimen may wait for the disk before its sender is told to wait."""
ENCODED_AHEAD: Final = 256 * 1024
"""How much of an encoded specimen may wait to be decoded before its sender is told to wait."""


def most_encoded(most: int) -> int:
    """How large a body may be before it is decoded, if it may be ``most`` after: what cannot be compressed grows."""
    return most + most // 64 + 1024


class _Told:
    """The part of an intake that answers later, by a Deferred."""

    answer: Deferred[Answer]

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        self.answer.addCallbacks(answered, failed)


class RecordIntake:
    """The body of a report or of a batch: gathered whole, within its limits, then decoded, checked and kept.

    Small bodies without a key, which are most, go to the journal in the call in which their last byte comes.

    :param share: its part of the memory for such bodies.
    :param coding: its content coding.
    :param batch: whether it holds a record a line.
    """

    __slots__ = (
        "_answered",
        "_batch",
        "_coding",
        "_failed",
        "_gone",
        "_key",
        "_limits",
        "_most",
        "_offload",
        "_pieces",
        "_receiver",
        "_request_id",
        "_share",
        "_size",
        "_storing",
        "_stream",
        "_user",
    )

    _answered: Callable[[Answer], None]
    _failed: Callable[[Failure], None]

    def __init__(
        self,
        receiver: Takes,
        limits: Limits,
        share: Share,
        offload: Offload,
        stream: Stream,
        user: str,
        key: str | None,
        request_id: str,
        coding: str | None,
        batch: bool,
    ) -> None:
        self._receiver = receiver
        self._limits = limits
        self._share = share
        share.give_way = self._give_way
        self._offload = offload
        self._stream = stream
        self._user = user
        self._key = key
        self._request_id = request_id
        self._coding = coding
        self._batch = batch
        self._most = limits.max_batch if batch else limits.max_report
        self._pieces = Pieces()
        self._size = 0
        self._gone = False
        self._storing = False

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        self._answered = answered
        self._failed = failed

    def data(self, chunk: bytes) -> None:
        size = self._size + len(chunk)
        if self._coding is None:
            if size > self._most:
                raise Refused(problems.too_large(self._most))
        elif size > most_encoded(self._most):
            raise Refused(problems.too_large(most_encoded(self._most), encoded=True))
        if not self._share.fits(size):
            raise Refused(problems.overloaded())
        self._size = size
        self._pieces.add(chunk)
        self._share.set(size)

    def whole(self) -> None:
        self._storing = True
        if self._key is not None or self._coding is not None or self._size > LARGE:
            Deferred.fromCoroutine(self._store()).addBoth(self._end)
            return
        self._share.whole()
        try:
            lines, count = self._checked()
            self._receiver.keep(self._stream, self._user, lines, count, self._request_id, self._kept)
        except Exception:
            self._release()
            raise

    def _kept(self, error: Exception | None) -> None:
        self._release()
        if error is None:
            self._answered(ACKNOWLEDGED)
        else:
            self._failed(Failure(error))

    def abort(self) -> None:
        self._gone = True
        if not self._storing:
            self._release()

    def _give_way(self) -> None:
        self._gone = True
        self._release()
        self._failed(Failure(Refused(problems.too_slow("body"))))

    async def _store(self) -> Answer:
        if self._coding is None:
            self._share.whole()
        else:
            await self._share.decoding(self._most)
        if self._gone:
            return ACKNOWLEDGED
        lines, count = self._checked() if self._quick() else await self._offload(self._checked)
        self._share.set(len(lines))
        self._share.decoded()
        if not self._gone:  # a sender that is gone asks again: what it cannot see acknowledged is better not kept
            await self._receiver.records(
                self._stream, user=self._user, lines=lines, count=count, key=self._key, request_id=self._request_id
            )
        return ACKNOWLEDGED

    def _quick(self) -> bool:
        return self._coding is None and self._size <= LARGE

    def _checked(self) -> tuple[bytes, int]:
        if self._coding is None:
            body = b"".join(self._pieces.take())
        else:
            try:
                body = decode_whole(self._coding, self._pieces.take(), self._most)
            except TooMuch:
                raise Refused(problems.too_large(self._most)) from None
        if self._batch:
            return check_batch(body, max_record=self._limits.max_report)
        return check_record(body) + b"\n", 1

    def _end(self, result: Answer | Failure) -> None:
        self._release()
        if isinstance(result, Failure):
            self._failed(result)
        else:
            self._answered(result)

    def _release(self) -> None:
        self._pieces.clear()
        self._share.release()


@define(eq=False)
class _OpenSpecimen(_Told):
    """The body of a specimen, which takes up one of the places there are for them until it is whole or given up."""

    _reception: TakesSpecimen
    _limits: Limits
    _flow: Flow
    _places: Room
    answer: Deferred[Answer] = field(factory=Deferred, init=False)
    _size: int = field(default=0, init=False)
    _held: bool = field(default=False, init=False)
    _over: bool = field(default=False, init=False)
    _begun: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self._places.now()
        self._places.held += 1
        self._places.enter(self)

    def abort(self) -> None:
        if self._leave():
            self._reception.abort().addErrback(_not_removed)

    def pace(self, now: float) -> float | None:
        return None if self._held else pace(self._begun, now, self._size)

    def give_way(self) -> None:
        self.abort()
        self.answer.errback(Refused(problems.too_slow("body")))

    def _leave(self) -> bool:
        if self._over:
            return False
        self._over = True
        self._places.held -= 1
        self._places.leave(self)
        return True


@define(eq=False)
class SpecimenIntake(_OpenSpecimen):
    """A specimen that is passed to the disk as it comes; its sender waits while the disk is behind."""

    def data(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limits.max_specimen:
            raise Refused(problems.too_large(self._limits.max_specimen))
        self._reception.write(chunk)
        if self._reception.waiting > SPECIMEN_AHEAD and not self._held:
            self._held = True
            self._flow.pause()
            self._reception.when_drained().addCallbacks(self._drained, self._failed)

    def whole(self) -> None:
        self._leave()
        Deferred.fromCoroutine(self._reception.commit()).addCallbacks(
            lambda _: self.answer.callback(ACKNOWLEDGED), self.answer.errback
        )

    def _drained(self, _: object) -> None:
        self._held = False
        self._flow.resume()

    def _failed(self, failure: Failure) -> None:
        if not self._over:
            self.answer.errback(failure)


@define(eq=False)
class EncodedSpecimenIntake(_OpenSpecimen):
    """A compressed specimen, decoded piece by piece in a thread on its way to the disk."""

    _offload: Offload = field(kw_only=True)
    _coding: str = field(kw_only=True)
    _decoder: Decoder = field(init=False)
    _queue: Pieces = field(factory=Pieces, init=False)
    _queued: int = field(default=0, init=False)
    _encoded_size: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)
    _running: bool = field(default=False, init=False)

    @_decoder.default
    def _new_decoder(self) -> Decoder:
        return decoder_for(self._coding)

    def data(self, chunk: bytes) -> None:
        self._encoded_size += len(chunk)
        most = most_encoded(self._limits.max_specimen)
        if self._encoded_size > most:
            raise Refused(problems.too_large(most, encoded=True))
        self._queue.add(chunk)
        self._queued += len(chunk)
        if self._queued > ENCODED_AHEAD and not self._held:
            self._held = True
            self._flow.pause()
        self._run()

    def whole(self) -> None:
        self._ended = True
        self._run()

    def abort(self) -> None:
        self._queue.clear()
        super().abort()

    def pace(self, now: float) -> float | None:
        return None if self._held else pace(self._begun, now, self._encoded_size)

    def _stopped(self) -> bool:
        return self._over

    def _run(self) -> None:
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._decode()).addErrback(self.answer.errback)

    async def _decode(self) -> None:
        """Decode what has come, until there is nothing more for now; at the end of the body, commit."""
        while not self._over:
            for chunk in self._queue.take():
                self._decoder.feed(chunk)
            self._queued = 0
            pieces = await self._offload(lambda: self._decoder.take(STEP))
            if self._stopped():
                return
            for piece in pieces:
                self._size += len(piece)
                if self._size > self._limits.max_specimen:
                    raise Refused(problems.too_large(self._limits.max_specimen))
                self._reception.write(piece)
            if self._reception.waiting > SPECIMEN_AHEAD:
                await self._reception.when_drained()
                continue
            if pieces or self._queue:
                continue
            if self._held:
                self._held = False
                self._flow.resume()
                continue
            if self._ended:
                self._decoder.finish()
                self._leave()
                await self._reception.commit()
                self.answer.callback(ACKNOWLEDGED)
                return
            break
        self._running = False


@define
class Repetition(_Told):
    """The body of what was kept already: read to its end and thrown away, so that its sender gets to see the answer."""

    _most: int
    answer: Deferred[Answer] = field(factory=Deferred, init=False)
    _size: int = field(default=0, init=False)

    def data(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._most:
            raise Refused(problems.too_large(self._most))

    def whole(self) -> None:
        self.answer.callback(ACKNOWLEDGED)

    def abort(self) -> None:
        """Nothing is held."""


def _not_removed(failure: Failure) -> None:
    _log.failure("a specimen that did not come whole could not be removed; the next start removes it", failure)
