"""Where the keys that sign requests come from: the configuration, or AWS's standard chain by botocore. Owns when they
are asked for again; must never ask in the reactor's thread, for an instance role is a request over the network."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import botocore.session
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.signing import Keys
from lf6gateway.values.failure import Kind, StoreError

_log = Logger()

_FRESH_S: Final = 60.0
"""Seconds for which keys of the chain are used without asking botocore, which refreshes them well before they
expire."""

_REMEDY: Final = (
    "set aws.access_key_id and aws.secret_access_key, or give the process credentials by AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, a profile, a web identity, or an instance role"
)

_LONGEST: Final = 500
"""Characters of what a provider said that are passed on."""
_SECRET: Final = re.compile(r"""(?i)(\b\w*(?:secret|token|password)\w*["']?\s*[:=]\s*)("[^"]*"?|'[^']*'?|[^\s,;}]+)""")
"""What can be a secret in it: a provider's answer that cannot be read is quoted as it came."""


class CredentialSource:
    """Gives keys to sign with. Those who ask at the same time share one search, so a provider that hangs keeps one
    thread and no more.

    :param static: the configuration's; the chain is not asked then.
    :param profile: of the AWS configuration files.
    :param offload: runs botocore.
    :param seconds: a clock that does not go backwards.
    """

    def __init__(
        self, *, static: Keys | None, profile: str | None, offload: Offload, seconds: Callable[[], float]
    ) -> None:
        self._static = static
        self._profile = profile
        self._offload = offload
        self._seconds = seconds
        self._session: botocore.session.Session | None = None
        self._keys: Keys | None = None
        self._fetched = 0.0
        self._waiting: list[Deferred[Keys]] = []
        self._searching = False
        self._anew = 0
        self.method = "configuration" if static is not None else ""
        """How they were found."""

    async def keys(self) -> Keys:
        """The keys to sign the next request with.

        :raises StoreError: there are none.
        """
        if self._static is not None:
            return self._static
        if self._keys is not None and self._seconds() - self._fetched < _FRESH_S:
            return self._keys
        waiting: Deferred[Keys] = Deferred(self._forget)
        self._waiting.append(waiting)
        if not self._searching:
            self._searching = True
            Deferred.fromCoroutine(self._search()).addErrback(self._ended)
        return await waiting

    def expired(self, keys: Keys | None = None) -> None:
        """The store called them expired: look for new ones.

        :param keys: which ones; those that were found since are kept.
        """
        if keys is None or keys == self._keys:
            self._keys = None
            self._session = None
            self._anew += 1

    def _forget(self, waiting: Deferred[Keys]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    async def _search(self) -> None:
        while True:
            begun, anew = self._seconds(), self._anew
            keys = await self._offload(self._find)
            if anew == self._anew:
                break
        self._keys, self._fetched = keys, begun
        self._ended(keys)

    def _ended(self, outcome: Keys | Failure) -> None:
        self._searching = False
        told, self._waiting = self._waiting, []
        for waiting in told:
            waiting.callback(outcome)  # a Failure makes it fail

    def _find(self) -> Keys:
        try:
            session = self._session or botocore.session.Session(profile=self._profile)
            found = session.get_credentials()
            frozen = None if found is None else found.get_frozen_credentials()
        except Exception as error:
            # Providers let out whatever the answer of a service makes them stumble over.
            self._session = None
            text = _SECRET.sub(r"\1(not shown)", f"{type(error).__name__}: {error}")
            raise StoreError(
                Kind.NO_CREDENTIALS, "find credentials", text[:_LONGEST], remedy=_REMEDY, applied=False
            ) from None
        if found is None or frozen is None or not frozen.access_key or not frozen.secret_key:
            self._session = None
            raise StoreError(Kind.NO_CREDENTIALS, "find credentials", "there are none", remedy=_REMEDY, applied=False)
        self._session = session
        self.method = str(getattr(found, "method", "chain"))
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)
