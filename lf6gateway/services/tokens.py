"""Proof by the tokens file. Owns the tokens in force; must never know who asks, nor remember what it has proven."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from lf6gateway.disk.offload import Offload
from lf6gateway.disk.tokens_file import open_to_others, read_tokens
from lf6gateway.services.watched_file import WatchedFile
from lf6gateway.values.token import id_of, matches
from lf6gateway.values.token_file import EVERY_STREAM, Token, parse_tokens
from lf6gateway.values.who import NotProven, Who

_log = Logger()


class CannotRead(Exception):
    """The tokens file cannot be used at the start; the text says why and what to do."""


class TokenProof:
    """Whose a token is, by the file.

    :param offload: where hashes are computed and the file is read.
    :param changed: told of the ids of tokens that came and went, after the change.
    """

    def __init__(
        self,
        path: str,
        *,
        clock: Any,
        offload: Offload,
        now_s: Callable[[], float],
        changed: Callable[[list[str], list[str]], None],
    ) -> None:
        self._path = path
        self._offload = offload
        self._now_s = now_s
        self._told = changed
        self._tokens: dict[str, Token] = {}
        self._file = WatchedFile(
            f"the tokens file {path}", (path,), self._read, self._changed, clock=clock, offload=offload
        )
        self.reread = self._file.reread

    async def start(self) -> None:
        """Read the file, and watch it.

        :raises CannotRead: it is not there, or not as it must be.
        """
        try:
            self._tokens = await self._file.begin()
        except FileNotFoundError:
            raise CannotRead(
                f"auth.tokens_file {self._path} is not there; make it with: lf6gateway token add USER"
            ) from None
        except OSError as error:
            raise CannotRead(f"auth.tokens_file {self._path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise CannotRead(f"auth.tokens_file cannot be used:\n{error}") from error
        _log.info("{count} tokens are in force, from {path}", count=len(self._tokens), path=self._path)

    def stop(self) -> Deferred[None]:
        """Watch no more."""
        return self._file.stop()

    def _read(self) -> dict[str, Token]:
        if open_to_others(self._path):
            _log.warn("other users than its owner may read or write {path}; do: chmod 600 {path}", path=self._path)
        return parse_tokens(read_tokens(self._path), self._path)

    def _changed(self, tokens: dict[str, Token]) -> None:
        before, self._tokens = self._tokens, tokens
        came = sorted(one for one in tokens if tokens[one] != before.get(one))
        went = sorted(one for one in before if tokens.get(one) != before[one])
        _log.info(
            "{path} was read again: {count} tokens are in force, {came} are new or changed, {went} gone or changed",
            path=self._path,
            count=len(tokens),
            came=len(came),
            went=len(went),
        )
        self._told(came, went)

    def prove(self, token: bytes) -> Deferred[Who]:
        """See ``Prove``."""
        identity = id_of(token)
        known = self._tokens.get(identity) if identity is not None else None
        if known is None:
            return fail(NotProven("no token has this id" if identity is not None else "it is no token of this gateway"))
        if known.expires_s is not None and self._now_s() >= known.expires_s:
            return fail(NotProven(f"the token {known.id} has expired"))
        checking = self._offload(lambda: matches(known.hash, token))
        return checking.addCallback(lambda right: _proven(known, right))

    def still(self, who: Who) -> bool:
        """See ``Prove``."""
        known = self._tokens.get(who.by)
        return known is not None and _who(known) == who


def _proven(token: Token, right: bool) -> Who:
    if not right:
        raise NotProven(f"it is not the token {token.id}")
    return _who(token)


def _who(token: Token) -> Who:
    streams = None if token.streams == EVERY_STREAM else token.streams
    return Who(token.user, token.id, streams, token.expires_s, basis=token.hash)
