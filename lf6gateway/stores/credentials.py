"""Where the keys that sign requests come from: the configuration, or AWS's standard chain by botocore. Owns when they
are asked for again; must never ask in the reactor's thread, for an instance role is a request over the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import botocore.session
from botocore.exceptions import BotoCoreError
from twisted.logger import Logger

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


class CredentialSource:
    """Gives keys to sign with.

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
        self.method = "configuration" if static is not None else ""
        """How they were found."""

    async def keys(self) -> Keys:
        """The keys to sign the next request with.

        :raises StoreError: there are none.
        """
        if self._static is not None:
            return self._static
        if self._keys is None or self._seconds() - self._fetched >= _FRESH_S:
            self._keys = await self._offload(self._find)
            self._fetched = self._seconds()
        return self._keys

    def expired(self) -> None:
        """The store called them expired: look for new ones."""
        self._keys = None
        self._session = None

    def _find(self) -> Keys:
        try:
            if self._session is None:
                self._session = botocore.session.Session(profile=self._profile)
            found = self._session.get_credentials()
            frozen = None if found is None else found.get_frozen_credentials()
        except (BotoCoreError, OSError, ValueError) as error:
            self._session = None
            raise StoreError(
                Kind.NO_CREDENTIALS, "find credentials", str(error), remedy=_REMEDY, applied=False
            ) from error
        if found is None or frozen is None or not frozen.access_key or not frozen.secret_key:
            self._session = None
            raise StoreError(Kind.NO_CREDENTIALS, "find credentials", "there are none", remedy=_REMEDY, applied=False)
        self.method = str(getattr(found, "method", "chain"))
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)
