"""What a service manager is told, and the sockets it hands over, by the two small protocols of systemd. Owns nothing of
the gateway; must never block, and never fail it: a manager that cannot be told is logged once.

The message is one datagram of ``NAME=value`` lines (sd_notify(3)), which systemd promises to keep. It is written here
because the one plain library for it, sdnotify, had its last release in 2017 and no wheel, and the others bind
libsystemd, which is more to install than these lines are to read."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Mapping
from typing import Final

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lf6gateway.edges.ports import Bound, PortTaken
from lf6gateway.services.heartbeat import Heartbeat

_log = Logger()

FIRST: Final = 3
"""The descriptor of the first socket handed over."""
EVERY: Final = 5.0
"""Seconds between two messages where no watchdog wants them more often."""
MORE: Final = 30
"""Seconds more that a start asks for, again and again while it is at work."""


def address_of(sent: str) -> str:
    """A socket's address as Python wants it: names beginning with ``@`` are not in the file system."""
    return "\0" + sent[1:] if sent.startswith("@") else sent


class Manager:
    """The service manager.

    :param address: where it listens; ``None``: there is none, and nothing is done.
    :param watchdog: within so many seconds it wants to hear something each time; ``None``: it does not.
    """

    def __init__(self, address: str | None, watchdog: float | None, clock: IReactorTime) -> None:
        self._address = address
        self._watchdog = watchdog
        self._socket: socket.socket | None = None
        self._starting = True
        self._deaf = False
        every = EVERY if watchdog is None else min(EVERY, watchdog / 2)
        self._beat = Heartbeat(clock, "telling the service manager that all runs", self._alive, every)

    @classmethod
    def of(cls, environ: Mapping[str, str], clock: IReactorTime, *, pid: int) -> Manager:
        """The one that the environment names."""
        micros = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog = int(micros) / 1e6 if mine and micros.isdecimal() and int(micros) else None
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog, clock)

    def start(self) -> None:
        """Tell from now on that the reactor runs; while it starts, also that it takes its time."""
        if self._address is not None:
            self._beat.start(now=True)

    def ready(self) -> None:
        """Data are taken."""
        self._starting = False
        self._tell("READY=1", "STATUS=takes data")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` says that it was."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, seconds: float) -> None:
        """It stops, which may take so long."""
        self._starting = False
        self._tell(
            "STOPPING=1",
            "STATUS=stopping: what was taken is shipped",
            f"EXTEND_TIMEOUT_USEC={round((seconds + MORE) * 1e6)}",
        )

    def _alive(self) -> None:
        lines = ["WATCHDOG=1"] if self._watchdog is not None else []
        if self._starting:
            lines += ["STATUS=starting", f"EXTEND_TIMEOUT_USEC={MORE * 1_000_000}"]
        if lines:
            self._tell(*lines)

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), address_of(self._address))
            self._deaf = False
        except OSError as error:
            if not self._deaf:
                self._deaf = True
                _log.warn(
                    "NOTIFY_SOCKET={address} cannot be told {what}: {error}",
                    address=self._address,
                    what=lines[0],
                    error=str(error),
                )


def inherited() -> list[Bound]:
    """The listening sockets that were handed over to this process (sd_listen_fds(3)), in their order.

    :raises PortTaken: one of them is of no use.
    """
    found: list[Bound] = []
    while _is_handed_over(len(found)):
        number = FIRST + len(found)
        try:
            # Its family and type are asked of the kernel.
            one = socket.socket(fileno=number)
            listening = stat.S_ISSOCK(os.fstat(number).st_mode) and one.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            )
        except OSError as error:
            raise PortTaken(
                f"descriptor {number}, which the service manager hands over, is no socket: {error}"
            ) from error
        if not listening or one.type != socket.SOCK_STREAM:
            raise PortTaken(
                f"descriptor {number}, which the service manager hands over, does not listen for connections; "
                "its .socket unit needs ListenStream= and Accept=no"
            )
        one.setblocking(False)
        one.set_inheritable(False)
        found.append(Bound(one, one.family, inherited=True))
    return found


def _is_handed_over(index: int) -> bool:
    # Twisted has read the environment when its endpoints were imported, and has removed it from there.
    try:
        serverFromString(None, f"systemd:domain=INET:index={index}")
    except IndexError:
        return False
    return True
