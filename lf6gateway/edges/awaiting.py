"""A request whose user is still being looked up: its sender is told to wait meanwhile, and what has come of its body
already is passed on afterwards. Owns that pause; must never decide who anybody is."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lf6gateway.edges import problems
from lf6gateway.edges.memory import Memory, Share
from lf6gateway.edges.message import Answer, Flow, Intake
from lf6gateway.values.problem import Refused


@define
class Awaiting:
    """An intake until it is known which intake it is.

    Its sender is paused, so that no more of a body comes than was on its way; that counts as memory in use, as the
    bodies of records do, and is refused where too much is in use already.

    :param user: fires with the user's name, or fails with the reason to refuse.
    :param enter: the rest of the decision, given the name and the flow to use.
    :param memory: counts it.
    """

    _user: Deferred[str]
    _enter: Callable[[str, Flow], Answer | Intake]
    _flow: Flow
    _memory: Memory
    answer: Deferred[Answer] = field(factory=Deferred, init=False)
    _inside: Intake | None = field(default=None, init=False)
    _chunks: list[bytes] = field(factory=list, init=False)
    _share: Share = field(init=False)
    _ended: bool = field(default=False, init=False)
    _gone: bool = field(default=False, init=False)
    _inside_waits: bool = field(default=False, init=False)
    _passing: bool = field(default=False, init=False)

    def begin(self) -> Awaiting:
        """Pause the sender, and wait for the user."""
        self._flow.pause()
        self._share = self._memory.share(self, waits=False)  # it waits already
        self._share.give_way = self._give_way
        self._user.addCallback(self._known).addErrback(self._failed)
        return self

    # What the exchange calls.

    def data(self, chunk: bytes) -> None:
        if self._inside is not None and not self._passing:
            self._inside.data(chunk)
            return
        size = self._share.size + len(chunk)
        if not self._share.fits(size):
            raise Refused(problems.overloaded())
        self._chunks.append(chunk)
        self._share.set(size)

    def whole(self) -> None:
        self._ended = True
        if self._inside is not None and not self._passing:
            self._inside.whole()

    def abort(self) -> None:
        if self._gone:
            return
        self._gone = True
        if self._inside is not None:
            self._inside.abort()
        else:
            self._user.cancel()

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        self.answer.addCallbacks(answered, failed)

    # What the intake inside calls; while held chunks are passed on, it is only noted.

    def pause(self) -> None:
        self._inside_waits = True
        if not self._passing:
            self._flow.pause()

    def resume(self) -> None:
        self._inside_waits = False
        if not self._passing:
            self._flow.resume()

    # The answer to the question.

    def _known(self, user: str) -> None:
        if self._gone:
            return
        self._passing = True
        opened = self._enter(user, self)
        if isinstance(opened, Answer):
            self._release()
            self.answer.callback(opened)
            return
        self._inside = opened
        opened.tell(self._inside_answered, self._inside_failed)
        while self._chunks and not self._over:
            chunk = self._chunks.pop(0)
            self._share.set(self._share.size - len(chunk))
            opened.data(chunk)
        self._passing = False
        self._share.release()
        if self._over:
            self._chunks.clear()
            return
        if self._ended:
            opened.whole()
        elif not self._inside_waits:
            self._flow.resume()

    def _inside_answered(self, answer: Answer) -> None:
        if not self.answer.called:
            self.answer.callback(answer)

    def _inside_failed(self, failure: Failure) -> None:
        if not self.answer.called:
            self.answer.errback(failure)

    @property
    def _over(self) -> bool:
        return self._gone or bool(self.answer.called)

    def _failed(self, failure: Failure) -> None:
        self._passing = False
        self._release()
        if not self._over:
            self.answer.errback(failure)

    def _give_way(self) -> None:
        """What it holds is needed by others."""
        self._release()
        if not self._over and self._inside is None:
            self.answer.errback(Refused(problems.overloaded()))

    def _release(self) -> None:
        self._chunks.clear()
        self._share.release()
