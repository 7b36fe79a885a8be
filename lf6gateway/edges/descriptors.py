"""How many files and sockets this process may have open, and how many connections fit into that. Owns the raising of
that limit; must never let connections take the descriptors that the spool and the way to S3 need."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import Final

from twisted.logger import Logger

from lf6gateway.values.limits import Limits
from lf6gateway.values.settings import Settings

_log = Logger()

OWN: Final = 256
"""Descriptors for the journal, specimens on their way to S3, connections to S3, logs and the like; where there are very
few, half of them."""
_SHARE: Final = 16
"""Connections that are only told that there is no room get at most this part of what there is, and specimens too."""


def open_files() -> int:
    """The most files that this process may have open, once its limit is raised as far as it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:
            _log.debug("the limit of open files stays at {soft}: {error}", soft=soft, error=str(error))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def within(limits: Limits, files: int) -> Limits:
    """The limits with no more connections, and no more specimens coming in, than there are descriptors for."""
    refused, specimens = min(limits.max_refused, files // _SHARE), min(limits.max_specimens, files // _SHARE)
    most = max(1, files - min(OWN, files // 2) - refused - specimens)
    if limits.max_connections > most:
        _log.warn(
            "http.max_connections is {wanted}, but this process may open only {files} files: {most} connections are "
            "held; raise the limit (LimitNOFILE of systemd, ulimit -n) or lower http.max_connections",
            wanted=limits.max_connections,
            files=files,
            most=most,
        )
    return replace(
        limits,
        max_connections=min(most, limits.max_connections),
        max_refused=refused,
        max_specimens=specimens,
    )


def limits_of(settings: Settings, workers: int = 1) -> Limits:
    """What a configuration lets this process take, one of so many that serve together."""
    return within(Limits.of(settings).share(workers), open_files())
