"""Messages on their way to a webhook, one after the other, each until it is taken. Owns the queue and the pauses
between attempts; must never hold anybody up, grow without bound, nor show the webhook's URL, which is a secret."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers

from lf6gateway.values.retry import RetryPolicy, full_jitter

_log = Logger()

TIMEOUT: Final = 10.0
"""Seconds in which a message must be taken."""
MOST: Final = 200
"""Messages that wait; of more, the oldest is dropped."""
RETRY: Final = RetryPolicy(base=1.0, cap=300.0)
_PASSING: Final = frozenset({408, 425, 429})
"""Statuses from 400 to 499 after which another attempt makes sense."""
_LARGEST: Final = 64 * 1024

Post = Callable[[str, bytes], Deferred[int]]
"""Sends a body to a URL; fires with the status of the answer."""


class Webhook(Service):
    """See the module. ``url`` may be changed at any time; ``None``: what is to be sent is dropped without a word.

    :param clock: tells and schedules in seconds.
    :param random: a number in [0, 1).
    """

    def __init__(self, clock: Any, post: Post, *, random: Callable[[], float]) -> None:
        self.setName("webhook")
        self.url: str | None = None
        self.outcomes: Counter[str] = Counter()
        """``sent``; ``failed``: attempts that are repeated; ``dropped``: messages that were given up."""
        self._clock = clock
        self._post = post
        self._random = random
        self._waiting: deque[bytes] = deque()
        self._work: Deferred[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait, the one under way included."""
        return len(self._waiting)

    def send(self, body: bytes) -> None:
        """Have a message sent behind all others."""
        if self.url is None or not self.running:
            return
        if len(self._waiting) >= MOST:
            self._waiting.popleft()
            self._dropped(f"more than {MOST} wait")
        self._waiting.append(body)
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._send_all())
            self._work.addErrback(self._ended)

    def stopService(self) -> Deferred[None]:
        """Send no more; what waits is lost, as it is told again after a start, where it is still so."""
        super().stopService()
        work, self._work = self._work, None
        self._waiting.clear()
        done: Deferred[None] = Deferred()
        if work is None:
            done.callback(None)
        else:
            work.addBoth(lambda _: done.callback(None))
            work.cancel()
        return done

    async def _send_all(self) -> None:
        failures = 0
        while self._waiting and self.url is not None:
            body = self._waiting[0]
            why = await self._attempt(self.url, body)
            if why is None:
                self._done(body)
                failures = 0
                continue
            failures += 1
            seconds = full_jitter(failures, RETRY, self._random)
            if failures == 1 or failures % 10 == 0:
                _log.warn(
                    "alerts.webhook: an alert could not be sent: {why}; it is tried again in {seconds:.0f} s",
                    why=why,
                    seconds=seconds,
                )
            await task.deferLater(self._clock, seconds)
        self._waiting.clear()
        self._work = None

    async def _attempt(self, url: str, body: bytes) -> str | None:
        """Why it must be tried again; ``None``: there is nothing more to do about it."""
        host = urlsplit(url).hostname
        try:
            status = await self._post(url, body).addTimeout(TIMEOUT, self._clock)
        except CancelledError:
            raise
        except Exception as error:
            self.outcomes["failed"] += 1
            return f"{host}: {type(error).__name__}: {_without(str(error), url)}"
        if 200 <= status < 300:
            self.outcomes["sent"] += 1
        elif 400 <= status < 500 and status not in _PASSING:
            self._dropped(
                f"{host} answered with status {status}; see whether alerts.webhook and alerts.format are right"
            )
        else:
            self.outcomes["failed"] += 1
            return f"{host} answered with status {status}"
        return None

    def _done(self, body: bytes) -> None:
        if self._waiting and self._waiting[0] is body:
            self._waiting.popleft()

    def _dropped(self, why: str) -> None:
        self.outcomes["dropped"] += 1
        _log.error("alerts.webhook: an alert was not sent, and is not tried again: {why}", why=why)

    def _ended(self, failure: Any) -> None:
        self._work = None
        if not failure.check(CancelledError):
            _log.failure("sending alerts failed; the next alert begins anew", failure)


def _without(text: str, url: str) -> str:
    path = urlsplit(url).path
    return text.replace(url, "(the webhook)").replace(path, "(...)") if len(path) > 1 else text


def poster(reactor: Any) -> Post:
    """Posts by treq, to where the URL says and nowhere else."""
    pool = HTTPConnectionPool(reactor, persistent=False)
    agent = Agent(reactor, contextFactory=BrowserLikePolicyForHTTPS(), connectTimeout=TIMEOUT, pool=pool)
    client = HTTPClient(agent)
    headers = Headers({"Content-Type": ["application/json"], "User-Agent": ["lf6gateway"]})

    async def post(url: str, body: bytes) -> int:
        response = await client.post(url, data=body, headers=headers, allow_redirects=False, unbuffered=True)
        status = int(response.code)
        size = 0

        def take(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if size > _LARGEST:
                raise ValueError("the answer is far too long")

        await response.collect(take)
        return status

    return lambda url, body: Deferred.fromCoroutine(post(url, body))
