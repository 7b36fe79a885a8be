"""Where each stream goes: the stores and their connections, made from the settings. Owns their life; must never decide
what is written to them."""

from __future__ import annotations

import os
from typing import Any

from OpenSSL import crypto
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, _HTTP11ClientFactory

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.directory import DirectoryStore
from lf6gateway.stores.http import S3Http, bucket_at
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.signing import Keys
from lf6gateway.stores.store import ObjectStore
from lf6gateway.values.settings import Settings, reveal
from lf6gateway.values.stream import Stream

CONNECT_S = 10.0
"""Seconds that a connection may take to be made."""


class _Quiet(_HTTP11ClientFactory):
    noisy = False


class Outlets:
    """The store of each stream. Streams of one bucket share it, and all share the connections.

    :param offload: runs what blocks: credentials, digests, files.
    :param spool: this disk's identity; the object on which a store is tried is named for it.
    """

    def __init__(self, settings: Settings, *, reactor: Any, offload: Offload, spool: str) -> None:
        self.prefixes: dict[Stream, str] = {stream: settings.prefix(stream) for stream in Stream}
        self.stores: dict[Stream, ObjectStore] = {}
        self.names: dict[Stream, str] = {}
        self._pool: HTTPConnectionPool | None = None
        if settings.storage is not None:
            store = DirectoryStore(settings.storage.directory, offload=offload)
            for stream in Stream:
                self.stores[stream] = store
                self.names[stream] = settings.storage.directory
            return
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool._factory = _Quiet  # it has no other way to keep it from logging every connection
        self._pool.maxPersistentPerHost = settings.upload.specimens_at_once + 2 * settings.upload.hours_at_once
        self._pool.cachedConnectionTimeout = 20
        # A request whose connection had gone is sent again by those who know whether that is safe.
        self._pool.retryAutomatically = False
        agent = Agent(reactor, contextFactory=_trust(settings.aws.ca_bundle), connectTimeout=CONNECT_S, pool=self._pool)
        credentials = CredentialSource(
            static=_static(settings), profile=settings.aws.profile, offload=offload, seconds=reactor.seconds
        )
        made: dict[str, S3Store] = {}
        for stream in Stream:
            name = settings.bucket(stream)
            assert name is not None
            if name not in made:
                http = S3Http(
                    agent=agent,
                    bucket=bucket_at(name, settings.aws.region, settings.aws.endpoint),
                    credentials=credentials,
                    offload=offload,
                    clock=reactor,
                    timeout_s=settings.upload.request_timeout.seconds,
                )
                made[name] = S3Store(
                    http,
                    offload=offload,
                    part_bytes=settings.upload.part_bytes,
                    probe_key=f"{self.prefixes[stream]}_lf6gateway/probe.{spool}",
                )
            self.stores[stream] = made[name]
            self.names[stream] = name

    async def close(self) -> None:
        """Let go of every connection."""
        for store in set(self.stores.values()):
            await store.close()
        if self._pool is not None:
            await self._pool.closeCachedConnections()


def _static(settings: Settings) -> Keys | None:
    access, secret = reveal(settings.aws.access_key_id), reveal(settings.aws.secret_access_key)
    if access is None or secret is None:
        return None
    return Keys(access, secret, reveal(settings.aws.session_token))


def _trust(bundle: str | None) -> BrowserLikePolicyForHTTPS:
    """The platform's authorities, or those of a file; ``AWS_CA_BUNDLE`` names one too, as for every AWS tool."""
    path = bundle or os.environ.get("AWS_CA_BUNDLE")
    if not path:
        return BrowserLikePolicyForHTTPS()
    with open(path, "rb") as file:
        text = file.read()
    begin = b"-----BEGIN CERTIFICATE-----"
    certificates = [
        Certificate(crypto.load_certificate(crypto.FILETYPE_PEM, begin + part)) for part in text.split(begin)[1:]
    ]
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))
