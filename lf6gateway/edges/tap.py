"""The twistd plugin's options and its service: reads the configuration, binds the port, and hands both to the gateway.
Owns the process's signals and its exit status; must never be imported by a host that embeds the gateway."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as UsageOptions

from lf6gateway.disk.lock import CacheInUse, in_use
from lf6gateway.disk.settings_file import load_settings
from lf6gateway.edges import logs
from lf6gateway.edges.admin import AdminSocket, bind_admin
from lf6gateway.edges.garbage import spare_what_stays
from lf6gateway.edges.listening import ListeningGateway
from lf6gateway.edges.ports import Bound, PortTaken, bind_port
from lf6gateway.edges.site import ChannelMissing, channel_maker
from lf6gateway.edges.systemd import Manager, inherited
from lf6gateway.services.surroundings import Surroundings, real
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_problem import SettingsError

_log = Logger()

DEFAULT_CONFIG = "/etc/lightfile6/config.yml"
DEFAULT_PORT = 8080
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Options(UsageOptions):
    """The command line of ``twistd lf6gateway``."""

    longdesc = "Takes usage reports, error reports and specimens over HTTP and delivers them to S3, each exactly once."
    optParameters: ClassVar = [
        ["port", "p", None, f"TCP port of all interfaces; 0: a free one [default: {DEFAULT_PORT}, or http.listen]"],
        ["config", "c", None, f"configuration file [default: {DEFAULT_CONFIG}]"],
    ]
    settings: Settings

    def opt_version(self) -> None:
        """Print the version and exit."""
        from lf6gateway.version import __version__

        print(f"lf6gateway {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Read and check everything, so that a mistake ends the start before anything is touched."""
        problems = []
        port = self["port"]
        if port is not None:
            if not (port.isascii() and port.isdigit() and int(port) <= 65535):
                problems.append(f"-p {port}: a port is a number from 0 to 65535")
            else:
                self["port"] = int(port)
        try:
            self.settings = load_settings(
                self["config"],
                default=DEFAULT_CONFIG,
                environ=os.environ,
                cwd=os.getcwd(),
                hostname=socket.gethostname(),
            )
        except SettingsError as error:
            problems.append(str(error))
        if problems:
            raise SystemExit("\n".join(problems))
        logs.install(self.parent, self.settings.log.format, self.settings.log.level)

    def parseOptions(self, options: Any = None) -> None:
        """As the base class does, with one line and status 1 for a mistake instead of the whole usage text."""
        from twisted.python.usage import UsageError

        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"lf6gateway: {error}; see twistd lf6gateway --help") from error


def makeService(options: Options, surroundings: Callable[[Any], Surroundings] = real) -> IService:
    """The service twistd runs. Called before it forks: makes no thread, and no file.

    :param surroundings: what it stands on, given the reactor.
    """
    settings = options.settings
    try:
        owned = in_use(settings.cache_dir)
        if owned is not None:
            raise owned
        channel_maker(settings.http.channel)
        bound: list[Bound] = []
        if options["port"] is not None:
            bound.append(bind_port(options["port"]))
        elif not settings.http.listen:
            bound += inherited() or [bind_port(DEFAULT_PORT)]
        admin = bind_admin(settings.admin)
    except (PortTaken, CacheInUse, ChannelMissing) as error:
        raise SystemExit(f"lf6gateway: {error}") from error
    return Daemon(options, bound, admin, surroundings)


class Daemon(Service):
    """The gateway as the one purpose of a process: its signals, its log, its exit status."""

    name = "lf6gateway"

    def __init__(
        self, options: Options, bound: list[Bound], admin: AdminSocket, surroundings: Callable[[Any], Surroundings]
    ) -> None:
        self._options = options
        self._bound = bound
        self._admin = admin
        self._surroundings = surroundings
        self._manager: Manager | None = None
        self._gateway: ListeningGateway | None = None
        self._stopping = False
        self._rotate: Any = None

    def startService(self) -> None:
        """Begin; what fails here at once is raised, so that twistd ends with status 1 and says why.

        :raises CacheInUse: another process got hold of the cache directory in between.
        """
        from twisted.internet import reactor

        super().startService()
        settings = self._options.settings
        self._gateway = gateway = ListeningGateway(
            settings,
            surroundings=self._surroundings(reactor),
            bound=self._bound,
            endpoints=settings.http.listen if self._options["port"] is None else (),
            admin=self._admin,
        )
        gateway.claim()
        self._manager = Manager.of(os.environ, reactor, pid=os.getpid())
        reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        from twisted.internet import reactor

        assert self._manager is not None
        self._manager.start()
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        self._rotate = signal.getsignal(signal.SIGUSR1)  # by which twistd turns over its own log, where it has a file
        signal.signal(signal.SIGUSR1, self._reopen)
        reactor.addSystemEventTrigger("after", "shutdown", _heed_no_signal)
        assert self._gateway is not None
        self._gateway.startService()
        self._gateway.started.addCallbacks(self._started, self._failed)

    def _started(self, _: object) -> None:
        spare_what_stays()
        if self._manager is not None and not self._stopping:
            self._manager.ready()

    def _signalled(self, number: int, _frame: object) -> None:
        from twisted.internet import reactor as running

        reactor: Any = running
        act = self._reload if number == signal.SIGHUP else self._stop
        reactor.callFromThread(act)

    def _reopen(self, number: int, frame: FrameType | None) -> None:
        from twisted.internet import reactor as running

        if callable(self._rotate):
            self._rotate(number, frame)
        reactor: Any = running
        if self._gateway is not None:
            reactor.callFromThread(self._gateway.reopen)

    def _stop(self) -> None:
        from twisted.internet import reactor

        if not self._stopping:
            self._stopping = True
            if self._manager is not None:
                self._manager.stopping(self._options.settings.shutdown.deadline.seconds)
            _log.info("asked to stop: no new connection is taken, everything taken so far is shipped")
            reactor.stop()
        elif self._gateway is not None:
            _log.info("asked to stop again: stopping at once, what is not shipped stays in the spool")
            self._gateway.hurry()

    def _reload(self) -> None:
        started = self._gateway is not None and self._gateway.started.called and not self._stopping
        if self._manager is not None and started:
            self._manager.reloading()
        self._read_again()
        if self._manager is not None and started:
            self._manager.ready()

    def _read_again(self) -> None:
        try:
            settings = load_settings(
                self._options["config"],
                default=DEFAULT_CONFIG,
                environ=os.environ,
                cwd=os.getcwd(),
                hostname=socket.gethostname(),
            )
        except SettingsError as error:
            _log.error("the configuration is not taken over, the running one is kept")
            for problem in error.problems:
                _log.error("{problem}", problem=str(problem))
            return
        logs.set_level(settings.log.level)
        if self._gateway is not None:
            self._gateway.reconfigure(settings)

    def _failed(self, failure: Failure) -> None:
        from twisted.internet import reactor

        if self._stopping:
            return
        self._stopping = True
        _log.critical("the gateway cannot start: {reason}", reason=failure.getErrorMessage())
        _log.debug("the start failed here:\n{traceback}", traceback=failure.getTraceback())
        reactor.addSystemEventTrigger("after", "shutdown", _end_with_failure)
        reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Stop the gateway; fires when it has stopped."""
        super().stopService()
        if self._gateway is None or not self._gateway.running:
            return Deferred.fromCoroutine(_nothing())
        return self._gateway.stopService()


def _heed_no_signal() -> None:
    # All is stopped. The interpreter takes handlers away while it ends, and a signal would then be its exit status.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


async def _nothing() -> None:
    """There is nothing to stop."""


def _end_with_failure() -> None:
    # twistd knows no exit status but 0 and a signal's once the reactor ran; by now every service has stopped.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
