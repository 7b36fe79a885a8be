"""Everything that lies in a spool goes to the stores, by a gateway that takes nothing in: for the disk of a machine
that is dead. Owns the order of that and how often what fails is tried; must never do anything to the spool that a
gateway does not do.

What ships is a whole gateway, started and stopped as any other. So whatever the dead machine had done, begun, or heard
no answer to, is met as after a crash of its own."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lf6gateway.services.assembly import Assembly
from lf6gateway.services.gateway import GatewayService
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_access import Audit, Auth, HowMuch

_log = Logger()
_ROUNDS: Final = 5
"""So often what fails by itself is tried again: after three failures what a disk cannot read is set aside, and the rest
of it goes."""
_PAUSE_S: Final = 1.0
"""Seconds between two rounds."""


def for_emptying(settings: Settings, *, cache_dir: str, host: str) -> Settings:
    """The settings of a gateway that takes nothing in: of the given ones, those that say where objects go.

    :param cache_dir: the spool's.
    :param host: the hostname in the keys of objects.
    """
    free = {"min_free_bytes": 0, "min_free_inodes": 0}  # nothing new comes, so what is held back is for shipping
    return settings.model_copy(
        update={
            "cache_dir": cache_dir,
            "hostname": host,
            "workers": 1,
            "auth": Auth(),
            "limits": HowMuch(),
            "audit": Audit(),
            "spool": settings.spool.model_copy(update=free),
        }
    )


class Emptying:
    """One emptying of one spool.

    :param gateway: not started yet, with settings of ``for_emptying``.
    """

    def __init__(self, gateway: GatewayService) -> None:
        self._gateway = gateway
        self._work: Deferred[None] | None = None
        self._given_up = False

    async def start(self) -> Assembly:
        """Begin; its parts, of which nothing has been shipped yet.

        :raises CacheInUse: a gateway runs on the spool.
        :raises FormatUnknown: a newer version wrote it.
        :raises OSError: it cannot be read or written.
        """
        self._gateway.startService()
        await self._gateway.started
        return self._gateway.assembly

    async def run(self, reactor: object, seconds: float | None = None) -> None:
        """Ship all there is, and stop. While the stores do not answer this waits; where only an operator can mend one,
        it does not.

        :param seconds: give up after so long; ``None``: never.
        """
        self._work = work = Deferred.fromCoroutine(self._ship_all(reactor))
        if self._given_up:
            work.cancel()
        elif seconds is not None:
            work.addTimeout(seconds, reactor)  # type: ignore[arg-type]
        try:
            await work
        except (CancelledError, TimeoutError):
            _log.warn("given up before everything was shipped; what is left stays in the spool")
            self._gateway.hurry()
        await self._gateway.stopService()

    def give_up(self) -> None:
        """Let ``run`` end soon; what is not shipped stays in the spool."""
        self._given_up = True
        if self._work is not None:
            self._work.cancel()

    async def _ship_all(self, reactor: object) -> None:
        parts = self._gateway.assembly
        for number in range(_ROUNDS):
            if number:
                await deferLater(reactor, _PAUSE_S)  # type: ignore[arg-type]
            unsealed = [await service.seal_now() for service in parts.seals.values()]
            hours = [await shipper.drain() for shipper in parts.hour_shippers.values()]
            specimens = await parts.specimen_shipper.drain()
            if not any(unsealed) and not any(left.members for left in hours) and not specimens.count:
                return


def waiting_parts(parts: Assembly) -> int:
    """How many segments and members of an emptying are still to go."""
    return sum(service.waiting for service in parts.seals.values()) + sum(
        shipper.waiting.members for shipper in parts.hour_shippers.values()
    )
