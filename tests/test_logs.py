"""The log: its two forms, what is left out, and that nothing a client sends can forge a line. The last tests run a real
twistd with a small plugin of its own."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogPublisher
from twisted.python import log as old_log
from twisted.python.failure import Failure

from lf6gateway.edges import logs
from lf6gateway.edges.logs import make_observer

ROOT = Path(__file__).parent.parent
NOON = 1_795_608_000.1234  # 2026-11-25T12:00:00.123Z


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(
    log_format: str, emit: Callable[[Logger], Any], *, level: str = "info", out: io.StringIO | None = None
) -> str:
    out = out or io.StringIO()
    observer = make_observer(out, log_format, level)
    emit(Logger(namespace="lf6gateway.part", observer=lambda event: observer(event | {"log_time": NOON})))
    return out.getvalue()


def test_a_line_to_read() -> None:
    text = written("text", lambda log: log.info("shipped {key}", key="a/b.gz", size=12, user="two words", none=None))
    assert text == (
        '2026-11-25T12:00:00.123Z info  [lf6gateway.part] shipped a/b.gz size=12 user="two words" none=None\n'
    )


def test_a_json_object_a_line() -> None:
    text = written(
        "json", lambda log: log.warn("refused {user}", user="ümit", size=12, share=0.5, last=True, why_not=None)
    )
    assert text.isascii()
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "time": "2026-11-25T12:00:00.123Z",
        "level": "warn",
        "logger": "lf6gateway.part",
        "message": "refused ümit",
        "user": "ümit",
        "size": 12,
        "share": 0.5,
        "last": True,
        "why_not": None,
    }


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    say: Callable[[Logger], Any] = lambda log: log.info("hello")  # noqa: E731
    assert written("auto", say, out=Terminal()).startswith("2026-")
    assert json.loads(written("auto", say))["message"] == "hello"
    assert json.loads(written("json", say, out=Terminal()))["message"] == "hello"


def test_a_failure_is_told_with_its_traceback() -> None:
    def fail(log: Logger) -> None:
        try:
            raise OSError("disk\nfull\x1b[31m")
        except OSError:
            log.failure("cannot write {path}", path="/x")

    event = json.loads(written("json", fail))
    assert event["level"] == "critical"
    assert event["message"] == "cannot write /x"
    assert "Traceback" in event["traceback"]
    assert "disk\nfull" in event["traceback"]
    assert "log_failure" not in event
    first, *rest = written("text", fail).splitlines()
    assert first == "2026-11-25T12:00:00.123Z critical [lf6gateway.part] cannot write /x"
    assert len(rest) > 2
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_only_plain_fields_are_shown_and_none_takes_the_place_of_a_line_s_own() -> None:
    class Kind(Enum):
        ONE = 1

    event = json.loads(
        written(
            "json",
            lambda log: log.info(
                "said",
                time="never",
                logger="me",
                message="x",
                data=b"bytes",
                a=[1],
                kind=Kind.ONE,
                far=1e400,
            ),
        )
    )
    assert event == {
        "time": "2026-11-25T12:00:00.123Z",
        "level": "info",
        "logger": "lf6gateway.part",
        "message": "said",
        "far": "inf",
    }


class Unformattable:
    def __str__(self) -> str:
        raise AssertionError("formatted although it is not written")

    __repr__ = __str__
    __format__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("level", ["info", "warn", "error", "critical"])
def test_what_is_below_the_level_is_left_out_and_not_even_formatted(level: str) -> None:
    assert written("text", lambda log: log.debug("{it}", it=Unformattable()), level=level) == ""


def test_each_level_lets_itself_and_what_is_above_through() -> None:
    levels = ["debug", "info", "warn", "error", "critical"]
    for least in levels:
        for level in levels:
            text = written("text", lambda log, level=level: log.emit(LogLevel.levelWithName(level), "x"), level=least)
            assert bool(text) == (levels.index(level) >= levels.index(least)), (least, level)


def test_the_level_can_be_changed() -> None:
    out = io.StringIO()
    observer = make_observer(out, "text", "error")
    log = Logger(observer=observer)
    log.info("one")
    observer.set_level("debug")
    log.debug("two")
    assert "one" not in out.getvalue()
    assert "two" in out.getvalue()


FORGED = "x\n2026-11-25T12:00:00.123Z info  [lf6gateway] all is well"


def test_a_field_cannot_begin_a_line_of_its_own() -> None:
    for emit in (
        lambda log: log.info("user {user}", user=FORGED),
        lambda log: log.info("user", user=FORGED),
        lambda log: log.info("user " + FORGED.replace("{", "{{")),
    ):
        assert written("text", emit).count("\n") == 1
        assert written("json", emit).count("\n") == 1


@given(st.text(), st.text())
@example("\x7f", "\x1b[2J\r\u2028\u202e")
def test_no_text_breaks_a_line_or_holds_a_control_character(one: str, two: str) -> None:
    def emit(log: Logger) -> None:
        log.info("{one} and", one=one, two=two)

    text = written("text", emit)
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    line = written("json", emit)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert line.isascii()
    event = json.loads(line)
    assert (event["one"], event["two"]) == (one, two)


def test_a_broken_format_is_told_and_breaks_nothing() -> None:
    for log_format in ("text", "json"):
        assert "format" in written(log_format, lambda log: log.info("{", a=1)).lower()
        assert "missing" in written(log_format, lambda log: log.info("{missing}"))


def test_events_of_the_old_api_keep_their_message_and_hide_their_machinery() -> None:
    out = io.StringIO()
    observer = make_observer(out, "json", "info")
    globalLogPublisher.addObserver(observer)
    try:
        old_log.msg("from the", "old days", printed=1)
        old_log.err(Failure(OSError("gone")), "what for")
    finally:
        globalLogPublisher.removeObserver(observer)
    said, failed = (json.loads(line) for line in out.getvalue().splitlines())
    assert said["message"] == "from the old days"
    assert set(said) == {"time", "level", "logger", "message"}
    assert failed["level"] == "critical"
    assert "what for" in failed["message"]
    assert "gone" in failed["message"]


PLUGIN = """
from twisted.application.service import ServiceMaker
small = ServiceMaker("small", "small_tap", "A small service.", "small")
"""
TAP = """
import sys
from twisted.application.service import Service
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.python.usage import Options as Base
from lf6gateway.edges import logs
log = Logger(namespace="small")

class Options(Base):
    optParameters = [["format", None, "auto"], ["level", None, "info"]]
    optFlags = [["stay", None]]
    def postOptions(self):
        logs.install(self.parent, self["format"], self["level"])

class Small(Service):
    def startService(self):
        super().startService()
        log.debug("a debug line")
        log.info("an info line", user="ann")
        log.warn("a warning")
        print("printed")
        if "stay" not in sys.argv[-1]:
            reactor.callLater(0, self.end)
        else:
            reactor.callWhenRunning(log.info, "ready")
    def end(self):
        logs.set_level("debug")
        log.debug("a late debug line")
        reactor.stop()
    def stopService(self):
        log.info("stopping")

def makeService(options):
    return Small()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "twisted" / "plugins").mkdir(parents=True)
    (tmp_path / "twisted" / "plugins" / "small_plugin.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "small_tap.py").write_text(TAP, encoding="utf-8")
    return tmp_path


def twistd(place: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=place, env=environment(place), text=True, timeout=60, check=True, **more)


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *words]


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{place}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it did not happen within 30 seconds"
        time.sleep(0.02)


def test_twistd_s_whole_log_is_json_from_its_first_line_to_its_last(place: Path) -> None:
    told = [json.loads(line) for line in twistd(place, "-n", "small", capture_output=True).stdout.splitlines()]
    messages = [event["message"] for event in told]
    assert "starting up" in messages[0]
    assert messages[-1] == "Server Shut Down."
    assert "printed" in messages
    assert "a debug line" not in messages
    assert "a late debug line" in messages  # the level was changed while it ran
    assert next(event for event in told if event["message"] == "an info line")["user"] == "ann"


def test_twistd_s_log_has_the_level_that_was_asked_for(place: Path) -> None:
    told = twistd(place, "-n", "small", "--level", "warn", capture_output=True).stdout.splitlines()
    assert [json.loads(line)["message"] for line in told][:1] == ["a warning"]


def test_on_a_terminal_twistd_s_log_is_text(place: Path) -> None:
    main, side = pty.openpty()
    try:
        twistd(place, "-n", "small", stdin=subprocess.DEVNULL, stdout=side, stderr=side)
        told = os.read(main, 65536).decode()
    finally:
        os.close(side)
        os.close(main)
    assert re.search(r"^\d{4}-\d\d-\d\dT[0-9:.]+Z info  \[small\] an info line user=ann\r?$", told, re.MULTILINE)
    assert not re.search(r"^[^2]", told, re.MULTILINE)


def test_another_logger_given_to_twistd_is_left_alone(place: Path) -> None:
    (place / "other.py").write_text(
        "import sys\nfrom twisted.logger import textFileLogObserver\ndef observer(): return textFileLogObserver(sys.stdout)\n",
        encoding="utf-8",
    )
    told = twistd(place, "-n", "--logger=other.observer", "small", capture_output=True).stdout
    assert "[small#info] an info line" in told


def test_a_daemon_logs_to_its_file_which_sigusr1_rotates(place: Path) -> None:
    pidfile, logfile = place / "d.pid", place / "d.log"
    twistd(place, f"--pidfile={pidfile}", f"--logfile={logfile}", "small", "--stay")
    pid = int(pidfile.read_text())
    try:
        until(lambda: "ready" in logfile.read_text())
        os.kill(pid, signal.SIGUSR1)
        until((place / "d.log.1").exists)
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not pidfile.exists() and logfile.exists() and "Server Shut Down" in logfile.read_text())
    before, after = ((place / name).read_text().splitlines() for name in ("d.log.1", "d.log"))
    messages = [json.loads(line)["message"] for line in before + after]
    assert "starting up" in messages[0]
    assert messages.index("ready") < messages.index("stopping")
    assert "ready" in before[-1]


def test_a_daemon_cannot_log_to_standard_output(place: Path) -> None:
    done = subprocess.run(
        command("--logfile=-", "small"),
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "a daemon has no standard output to log to; name a file with --logfile, or start with -n\n"


def test_in_another_host_nothing_is_installed() -> None:
    options = {"logger": "their.own"}
    logs.install(options, "json", "info")
    logs.install(None, "json", "info")
    logs.install({}, "json", "info")
    assert options == {"logger": "their.own"}


def test_syslog_stays_syslog_with_the_level_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    sends = staticmethod(lambda _priority, text: told.append(text))
    monkeypatch.setattr("twisted.python.syslog.SyslogObserver.syslog", sends)
    options: dict[str, Any] = {"logger": None, "syslog": True, "prefix": "gateway"}
    logs.install(options, "json", "warn")
    assert options["logger"] == "lf6gateway.edges.logs.twistd_observer"
    observer = logs.twistd_observer()
    assert ILogObserver.providedBy(observer)
    log = Logger(observer=observer)
    log.info("quiet")
    log.warn("loud")
    logs.set_level("info")
    log.info("now heard")
    assert [text.rpartition("] ")[2] for text in told] == ["loud", "now heard"]
