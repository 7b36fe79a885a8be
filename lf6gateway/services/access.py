"""Who may send, and what is known of those who tried: the parts that stand behind the public port's guard, as one. Owns
their life and their figures; must never see a request."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lf6gateway.services.audit import AuditTrail
from lf6gateway.services.authenticate import Authenticate, Prove
from lf6gateway.services.distant_limits import DistantLimits
from lf6gateway.services.fetch import fetch
from lf6gateway.services.quotas import QuotaFile
from lf6gateway.services.signed_tokens import SignedTokenProof, Terms
from lf6gateway.services.surroundings import Surroundings, Workers
from lf6gateway.services.tokens import CannotRead, TokenProof
from lf6gateway.values.allowance import Allowance, Exceeded
from lf6gateway.values.daily import Daily
from lf6gateway.values.failures import Failures
from lf6gateway.values.jwks import LARGEST
from lf6gateway.values.settings import Settings
from lf6gateway.values.stream import Stream

_log = Logger()

PROVING_THREADS: Final = 2
_NAMED: Final = 1_000
"""Tokens of one change that the audit trail names."""


class Proof(Prove, Protocol):
    """A way of proving that lives as long as the gateway does."""

    async def start(self) -> None:
        """Get ready; raises what keeps it from it."""

    def stop(self) -> Deferred[None]:
        """Let go of everything."""

    async def reread(self) -> None:
        """Read again what it stands on."""


class Access:
    """See the module. What is not configured is ``None``.

    :param surroundings: what it stands on.
    :param distant: asks the process that counts what senders have left, where that is another one. That one also keeps
        what was counted, and tells the audit trail of changed tokens.
    """

    def __init__(self, settings: Settings, surroundings: Surroundings, distant: DistantLimits | None = None) -> None:
        self.settings = settings
        self.distant = distant
        self.clock: Any = surroundings.reactor
        self.now_s: Callable[[], float] = lambda: surroundings.now_ns() / 1e9
        self.failures = Failures(settings.auth.failure_delay.seconds, settings.limits.max_tracked)
        self.authenticate: Authenticate | None = None
        self.audit: AuditTrail | None = None
        self.allowance = Allowance(settings.limits, Daily(settings.limits.max_tracked))
        self.refused: Counter[str] = Counter()
        """Requests that were not let in: by ``token``, ``address``, or the name of the limit."""
        # The port asks for certificates from its start to its end, whatever the configuration says meanwhile.
        self._certified = settings.http.tls.client_ca is not None
        self._surroundings = surroundings
        self.threads: list[Workers] = []
        """All that it uses."""
        self._proof: Proof | None = None
        self._quotas: QuotaFile | None = None

    @property
    def guarded(self) -> bool:
        """Whether not everybody may send everything, so that a guard is needed."""
        limits = self.settings.limits
        return (
            self.authenticate is not None
            or self._certified
            or self.audit is not None
            or bool(self.allowance or limits.allow or limits.deny)
        )

    def request_of(self, user: str, address: str, stream: Stream, size: int | None) -> Exceeded | None:
        """Count a request by its user, with the bytes that its body has; what it exceeds, if it is too much.

        :param size: ``None``: not told. Only bytes that are told are counted.
        """
        now = self.clock.seconds()
        exceeded = self.allowance.request_of(user, now) or self.allowance.body_of(
            user, address, stream, size, now, self.now_s()
        )
        if exceeded is None and size:
            self.count(user, address, stream, size)
        return exceeded

    def count(self, user: str, address: str, stream: Stream, size: int) -> None:
        """Count bytes of a body, or take back negative ones; here, or in the process that counts."""
        if self.distant is not None:
            self.distant.count(user, address, stream, size)
        else:
            self.allowance.count(user, address, stream, size, self.clock.seconds(), self.now_s())

    async def start(self) -> None:
        """Read what is needed.

        :raises CannotRead: something of it cannot be used; the text says what to do.
        """
        auth = self.settings.auth
        if auth.mode == "tokens":
            assert auth.tokens_file is not None
            self._proof = TokenProof(
                auth.tokens_file,
                clock=self.clock,
                offload=self._workers("identify", PROVING_THREADS),
                now_s=self.now_s,
                changed=self._tokens_changed,
            )
        elif auth.mode == "jwt":
            self._proof = self._signed_tokens()
        await self._begin_audit()
        await self._begin_quotas()
        if self._proof is not None:
            await self._proof.start()
            self.authenticate = Authenticate(
                self._proof,
                secret=bytes.fromhex(self._surroundings.new_id()),
                now_s=self.now_s,
                max_cached=auth.max_cached,
            )

    async def _begin_audit(self) -> None:
        path = self.settings.audit.file
        if path is None:
            return
        trail = AuditTrail(path, clock=self.clock, offload=self._workers("audit", 1), now_ns=self._surroundings.now_ns)
        try:
            await trail.start()
        except OSError as error:
            raise CannotRead(f"audit.file {path} cannot be opened: {error.strerror}") from error
        self.audit = trail

    def reopen_audit(self) -> None:
        """The audit trail's file was renamed away: go on with a new one."""
        if self.audit is not None:
            self._in_background("opening the audit trail again", self.audit.reopen())

    async def _begin_quotas(self) -> None:
        if self._quotas is None and self.allowance.has_quotas and self.distant is None:
            self._quotas = QuotaFile(
                os.path.join(self.settings.cache_dir, "quotas.json"),
                self.allowance.daily,
                fs=self._surroundings.fs,
                offload=self._workers("quotas", 1),
                clock=self.clock,
                now_s=self.now_s,
            )
            await self._quotas.start()

    def _signed_tokens(self) -> SignedTokenProof:
        auth = self.settings.auth
        assert auth.jwt_keys is not None
        assert auth.jwt_issuer is not None
        return SignedTokenProof(
            auth.jwt_keys,
            Terms(
                issuer=auth.jwt_issuer,
                audience=auth.jwt_audience,
                algorithms=auth.jwt_algorithms,
                user_claim=auth.jwt_user_claim,
                leeway_s=auth.jwt_leeway.seconds,
            ),
            clock=self.clock,
            offload=self._workers("identify", PROVING_THREADS),
            fetch=lambda url: fetch(self.clock, url, LARGEST),
            refresh_s=auth.jwt_keys_refresh.seconds,
            changed=self._forget,
        )

    def _workers(self, what: str, count: int) -> Workers:
        threads = self._surroundings.threads(what, count)
        threads.startService()
        self.threads.append(threads)
        return threads

    def _tokens_changed(self, came: list[str], went: list[str]) -> None:
        self._forget()
        if self.audit is not None and self.distant is None and (came or went):
            self.audit.tell("tokens", {"came": came[:_NAMED], "went": went[:_NAMED]})

    def _forget(self) -> None:
        if self.authenticate is not None:
            self.authenticate.changed()

    def reconfigure(self, settings: Settings) -> None:
        """Take over what can change while all runs, and read again the files that it stands on."""
        self.settings = settings
        self.allowance.reconfigure(settings.limits)
        self.failures.first_s = settings.auth.failure_delay.seconds
        self.failures.most = settings.limits.max_tracked
        if self.authenticate is not None:
            self.authenticate.max_cached = settings.auth.max_cached
        self.reopen_audit()
        self._in_background("beginning to keep what users send in a day", self._begin_quotas())
        if self._proof is not None:
            self._in_background("reading again what proves users", self._proof.reread())

    def _in_background(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        Deferred.fromCoroutine(work).addErrback(lambda failure: _log.failure("{what} failed", failure, what=what))

    async def stop(self) -> None:
        """Let go of everything."""
        if self._proof is not None:
            await self._proof.stop()
        if self._quotas is not None:
            await self._quotas.stop()
        if self.audit is not None:
            await self.audit.stop()
        for threads in self.threads:
            await threads.stopService()
