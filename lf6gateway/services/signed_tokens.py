"""Proof by a token that its issuer has signed (JWT, RFC 7519 and 8725). Owns the keys in force and when they are asked
for anew; must never take the word of a token for how it is to be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import jwt
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger

from lf6gateway.disk.offload import Offload
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.tokens import CannotRead
from lf6gateway.services.watched_file import WatchedFile
from lf6gateway.values.jwks import LARGEST, Key, choose, parse_keys
from lf6gateway.values.username import BadUsername, parse_username
from lf6gateway.values.who import CannotTell, NotProven, Who

_log = Logger()

AGAIN: Final = 30.0
"""Seconds between two fetches of the keys, however many tokens name a key that is not known."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a token must fulfil."""

    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    user_claim: str
    leeway_s: float


class _UnknownKey(Exception):
    """A token names a key that is not there; it may have been published since."""


def check(token: bytes, keys: tuple[Key, ...], terms: Terms) -> Who:
    """Whose a token is. Takes a moment.

    :raises NotProven: nobody's.
    :raises _UnknownKey: none of the keys is the one it names.
    """
    try:
        text = token.decode("ascii")
        head = jwt.get_unverified_header(text)
        if head.get("alg") not in terms.algorithms:
            raise NotProven("it is signed in a way that auth.jwt_algorithms does not have")
        key = choose(keys, head["alg"], head.get("kid"))
        if key is None:
            raise _UnknownKey
        claims = jwt.decode(
            text,
            key.public,
            algorithms=[key.algorithm],
            audience=terms.audience,
            issuer=terms.issuer,
            leeway=terms.leeway_s,
            options={"require": ["exp", "iss", "aud", terms.user_claim]},
        )
        until = float(claims["exp"]) + terms.leeway_s
    except (jwt.PyJWTError, UnicodeDecodeError, ValueError, TypeError, OverflowError) as error:
        raise NotProven(f"{type(error).__name__}: {str(error)[:200]}") from None
    user = claims[terms.user_claim]
    if not isinstance(user, str):
        raise NotProven(f"its claim {terms.user_claim} is no text")
    try:
        parse_username(user.encode("utf-8", "surrogatepass"))
    except BadUsername as error:
        raise NotProven(f"its claim {terms.user_claim} names no user: {error}") from None
    return Who(user, key.id or key.algorithm, None, until, basis=key.text)


class SignedTokenProof:
    """Whose a token is, by its issuer's signature.

    :param source: the path of the keys' file, or their URL.
    :param fetch: gets what is at the URL.
    :param refresh_s: seconds between two fetches.
    :param changed: told after each change of the keys.
    """

    def __init__(
        self,
        source: str,
        terms: Terms,
        *,
        clock: Any,
        offload: Offload,
        fetch: Callable[[str], Deferred[bytes]],
        refresh_s: float,
        changed: Callable[[], None],
    ) -> None:
        self._source = source
        self._terms = terms
        self._clock = clock
        self._offload = offload
        self._fetch = fetch
        self._told = changed
        self._keys: tuple[Key, ...] = ()
        self._last: float | None = None
        self._fetching: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._later: Any = None
        self._file: WatchedFile[tuple[Key, ...]] | None = None
        self._heartbeat: Heartbeat | None = None
        if "://" in source:
            self._heartbeat = Heartbeat(clock, f"fetching the keys from {source}", self._refresh, refresh_s)
        else:
            self._file = WatchedFile(
                f"the file of keys {source}", (source,), self._read, self._taken, clock=clock, offload=offload
            )

    async def start(self) -> None:
        """Read the keys. An issuer that does not answer holds no start up: tokens wait for its keys.

        :raises CannotRead: the file of keys is not there, or not as it must be.
        """
        if self._file is None:
            assert self._heartbeat is not None
            self._heartbeat.start(now=True)
            return
        try:
            self._keys = await self._file.begin()
        except OSError as error:
            raise CannotRead(f"auth.jwt_keys {self._source} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise CannotRead(f"auth.jwt_keys {self._source} {error}") from error

    def stop(self) -> Deferred[None]:
        """Ask for no more keys."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._file is not None:
            return self._file.stop()
        stopping = self._heartbeat.stop() if self._heartbeat is not None else succeed(None)
        if self._fetching is not None:
            self._fetching.cancel()
        return stopping

    async def reread(self) -> None:
        """Read or fetch the keys again."""
        if self._file is not None:
            await self._file.reread()
        else:
            await self._refresh()

    def _read(self) -> tuple[Key, ...]:
        with open(self._source, "rb") as file:
            return parse_keys(file.read(LARGEST + 1), self._terms.algorithms)

    async def _refresh(self) -> None:
        """Fetch the keys; those who ask meanwhile share one fetch. What fails is told, and the keys before stay."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if len(self._waiting) == 1:
            self._fetching = Deferred.fromCoroutine(self._fetch_once())
            self._fetching.addBoth(self._fetched)
        await done

    def _fetched(self, _: object) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    async def _fetch_once(self) -> None:
        self._last = self._clock.seconds()
        try:
            text = await self._fetch(self._source)
            keys = await self._offload(lambda: parse_keys(text, self._terms.algorithms))
        except CancelledError:
            _log.debug("the keys are not fetched any more, as all stops")
        except Exception as error:
            _log.error(
                "the keys of {issuer} could not be had from {source}, {count} of before count on: {error}",
                issuer=self._terms.issuer,
                source=self._source,
                count=len(self._keys),
                error=str(error) or type(error).__name__,
            )
        else:
            self._taken(keys)

    def _taken(self, keys: tuple[Key, ...]) -> None:
        if keys == self._keys:
            return
        self._keys = keys
        _log.info("{count} keys of {issuer} are in force", count=len(keys), issuer=self._terms.issuer)
        self._told()

    def prove(self, token: bytes) -> Deferred[Who]:
        """See ``Prove``."""
        return Deferred.fromCoroutine(self._prove(token))

    async def _prove(self, token: bytes) -> Who:
        if not self._keys:
            await self._newer()
            if not self._keys:
                raise CannotTell("the issuer's keys are not there")
        try:
            return await self._offload(partial(check, token, self._keys, self._terms))
        except _UnknownKey:
            before = self._keys
            await self._newer()
            if self._keys == before:
                raise NotProven("its issuer has published no such key") from None
        try:
            return await self._offload(partial(check, token, self._keys, self._terms))
        except _UnknownKey:
            raise NotProven("its issuer has published no such key") from None

    async def _newer(self) -> None:
        """The keys may have changed: fetch them, or where that was done just now, see to it that it is done soon."""
        if self._heartbeat is None:
            return
        since = None if self._last is None else self._clock.seconds() - self._last
        if since is None or since >= AGAIN or self._waiting:
            await self._refresh()
        elif self._later is None:
            self._later = self._clock.callLater(AGAIN - since, self._now_later)

    def _now_later(self) -> None:
        self._later = None
        Deferred.fromCoroutine(self._refresh()).addErrback(
            lambda failure: _log.failure("the keys could not be fetched", failure)
        )

    def still(self, who: Who) -> bool:
        """See ``Prove``."""
        return any(key.text == who.basis for key in self._keys)
