"""The log as it is written: readable lines on a terminal, one JSON object a line elsewhere. Owns the form of a line and
the level below which nothing is formatted; must never let what a client sent begin a line of its own, or end one."""

from __future__ import annotations

import json
import signal
import string
import sys
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import ILogObserver, LegacyLogObserverWrapper, LogEvent, Logger, LogLevel, formatEvent
from twisted.python.logfile import LogFile
from zope.interface import implementer

from lf6gateway.values.printable import printable

_log = Logger()

_RANK: Final = {level: rank for rank, level in enumerate(LogLevel.iterconstants())}
_OURS: Final = frozenset({"time", "level", "logger", "message", "traceback"})
_LEGACY: Final = frozenset({"format", "system", "isError", "failure", "why", "logLevel", "printed"})


class Out(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> Any:
        """Take a whole line, with its end."""

    def flush(self) -> Any:
        """Pass on what was taken."""


@implementer(ILogObserver)
class LineObserver:
    """Writes each event from a level on as one line.

    :param out: where to.
    :param as_json: one JSON object a line, else readable lines.
    :param level: the least level: ``debug``, ``info``, ``warn``, ``error`` or ``critical``.
    """

    def __init__(self, out: Out, *, as_json: bool, level: str) -> None:
        self._out = out
        self.as_json = as_json
        self._line = json_line if as_json else text_line
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Write events from this level on."""
        self._least = _RANK[LogLevel.levelWithName(level)]

    def __call__(self, event: LogEvent) -> None:
        """Write an event, unless it is below the level."""
        if _RANK.get(event.get("log_level", LogLevel.info), 0) < self._least:
            return
        self.write_line(self._line(event))

    def write_line(self, line: str) -> None:
        """Write a line that has its form already."""
        self._out.write(line)
        self._out.flush()


@implementer(ILogObserver)
class LevelObserver:
    """Hands each event from a level on to another observer, which has a form of its own."""

    def __init__(self, behind: ILogObserver, *, level: str) -> None:
        self._behind = behind
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Hand on events from this level on."""
        self._least = _RANK[LogLevel.levelWithName(level)]

    def __call__(self, event: LogEvent) -> None:
        """Hand on an event, unless it is below the level."""
        if _RANK.get(event.get("log_level", LogLevel.info), 0) >= self._least:
            self._behind(event)


def make_observer(out: Out, log_format: str, level: str) -> LineObserver:
    """An observer for an open stream or file.

    :param log_format: ``text``, ``json``, or ``auto``: text if ``out`` is a terminal.
    """
    if log_format == "auto":
        is_terminal = getattr(out, "isatty", None)
        log_format = "text" if is_terminal is not None and is_terminal() else "json"
    return LineObserver(out, as_json=log_format == "json", level=level)


def json_line(event: LogEvent) -> str:
    """An event as one JSON object and a line feed, ASCII alone; its fields of plain types stand beside the message."""
    fields: dict[str, Any] = {
        "time": _moment(event),
        "level": _level(event),
        "logger": str(event.get("log_namespace", "")),
        "message": formatEvent(event),
    }
    fields.update(_own_fields(event))
    failure = event.get("log_failure")
    if failure is not None:
        fields["traceback"] = failure.getTraceback()
    return json.dumps(fields, allow_nan=False) + "\n"


def text_line(event: LogEvent) -> str:
    """An event as a line to read; the lines of a traceback follow, indented."""
    named = _named(event.get("log_format") or "")
    pairs = "".join(f" {printable(name)}={_word(value)}" for name, value in _own_fields(event) if name not in named)
    logger = printable(str(event.get("log_namespace", "")))
    line = f"{_moment(event)} {_level(event):<5} [{logger}] {printable(formatEvent(event))}{pairs}\n"
    failure = event.get("log_failure")
    if failure is not None:
        line += "".join(f"    {printable(one)}\n" for one in failure.getTraceback().split("\n") if one)
    return line


def _moment(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    return str(event.get("log_level", LogLevel.info).name)


def _own_fields(event: LogEvent) -> Iterator[tuple[str, Any]]:
    if "log_legacy" in event:
        return  # an event of the old API, whose fields are the machinery's
    for name, value in event.items():
        if name.startswith("log_") or name in _OURS or name in _LEGACY:
            continue
        if isinstance(value, float) and not -1e308 <= value <= 1e308:
            value = str(value)
        if value is None or isinstance(value, (str, int, float)):
            yield name, value


def _word(value: Any) -> str:
    text = str(value)
    if text and not any(one in ' "=' for one in text):
        return printable(text)
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


@lru_cache(maxsize=1024)
def _named(log_format: str) -> frozenset[str]:
    """The fields that a format shows by itself."""
    try:
        parts = [name for _, name, _, _ in string.Formatter().parse(log_format) if name]
    except ValueError:
        return frozenset()  # formatEvent says in its text that the format is broken
    return frozenset(name.split(".")[0].split("[")[0].removesuffix("()") for name in parts)


TWISTD_LOGGER: Final = "lf6gateway.edges.logs.twistd_observer"
"""What twistd's ``--logger`` is set to."""

_wanted: tuple[MutableMapping[str, Any], str, str] = ({"nodaemon": True}, "auto", "info")
_installed: LineObserver | LevelObserver | None = None


def install(options: MutableMapping[str, Any] | None, log_format: str, level: str) -> None:
    """Make twistd write its whole log, from its first line on, through an observer of this module, to where its own
    options say. To be called in the plugin's ``postOptions``: twistd makes its log after that, before it forks.

    :param options: twistd's own options, the ``parent`` of the plugin's. Another ``--logger`` there is left alone,
        and so is another host than twistd, which has a log of its own.
    """
    global _wanted
    if options is None or "logger" not in options or options["logger"] not in (None, TWISTD_LOGGER):
        return
    options["logger"] = TWISTD_LOGGER
    _wanted = (options, log_format, level)


def twistd_observer() -> ILogObserver:
    """The observer that ``install`` asked for; twistd calls this."""
    global _installed
    _installed = _observer_for(*_wanted)
    return _installed


def set_level(level: str) -> None:
    """Write events from this level on, if ``install`` took effect."""
    if _installed is not None:
        _installed.set_level(level)


def form(log_format: str) -> str:
    """How lines of another process must look to stand in this one's log: ``json`` or ``text``."""
    if isinstance(_installed, LineObserver):
        return "json" if _installed.as_json else "text"
    return "text" if log_format == "auto" else log_format


def pass_on(line: str) -> None:
    """Write a line of another process, which has its form already, into this one's log."""
    if isinstance(_installed, LineObserver):
        _installed.write_line(line + "\n")
    else:
        _log.info("{line}", line=line)


def _observer_for(options: MutableMapping[str, Any], log_format: str, level: str) -> LineObserver | LevelObserver:
    if options.get("syslog"):
        from twisted.python.syslog import SyslogObserver

        emit: Any = SyslogObserver(options.get("prefix") or "").emit
        return LevelObserver(LegacyLogObserverWrapper(emit), level=level)
    name, foreground = options.get("logfile"), options.get("nodaemon")
    if name == "-" and not foreground:
        raise SystemExit("a daemon has no standard output to log to; name a file with --logfile, or start with -n")
    if name == "-" or (foreground and not name):
        return make_observer(sys.stdout, log_format, level)
    file = LogFile.fromFullPath(name or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda _number, _frame: _rotate(file))
    return make_observer(file, log_format, level)


def _rotate(file: LogFile) -> None:
    from twisted.internet import reactor

    IReactorFromThreads(reactor).callFromThread(file.rotate)
