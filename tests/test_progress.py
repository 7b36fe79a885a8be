"""The line that tells how far long work is: on a terminal alone, some times a second, and obeyed by none."""

from __future__ import annotations

import io

import pytest

from lf6gateway.edges.progress import ByteProgress, ObjectProgress, ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_line_is_written_into_a_file() -> None:
    file = io.StringIO()
    line = ProgressLine(file)
    line.show(lambda: pytest.fail("nobody sees it"), now=True)
    line.clear()
    assert file.getvalue() == ""


def test_the_line_changes_some_times_a_second_and_at_once_where_it_has_to() -> None:
    terminal, now = Terminal(), [0.0]
    line = ProgressLine(terminal, lambda: now[0])
    for number in range(100):
        now[0] = number / 100
        line.show(lambda number=number: f"step {number}")  # type: ignore[misc]
    assert 9 <= terminal.getvalue().count("step") <= 11
    line.show(lambda: "waiting", now=True)
    assert terminal.getvalue().endswith("waiting")
    line.clear()
    line.clear()
    assert terminal.getvalue().endswith("waiting\r\x1b[K")


def test_what_others_named_is_not_obeyed_and_long_lines_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    ProgressLine(terminal).show(lambda: "\x1b[2J" + "x" * 100)
    assert terminal.getvalue() == "\r\x1b[K" + ("\\x1b[2J" + "x" * 100)[:39]


def test_what_is_done_is_told_in_objects_and_in_bytes() -> None:
    terminal = Terminal()
    progress = ObjectProgress("verify", lambda: 1.0, terminal)
    progress.add(2048)
    assert "verify: 1 objects, 2.0 KiB" in terminal.getvalue()
    terminal = Terminal()
    sent = ByteProgress("sent", 4 << 20, terminal)
    sent.add(1 << 20)
    sent.waiting(3, "busy")
    assert terminal.getvalue().endswith("[#####...............]  25%  1.0 MiB sent  waiting 3 s: busy")
