"""Each case of the catalogue on each HTTP channel: in memory, whole and byte by byte, and on a real process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lf6gateway.values.limits import Limits
from tests.blackbox.gateway import Gateway as Process
from tests.blackbox.gateway import eventually, records
from tests.blackbox.test_running import stored
from tests.hostile.catalogue import CASES, Case
from tests.hostile.channels import Channel
from tests.http_support import read_replies, request

LIMITS = Limits(linger=5)


def test_the_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_answered_as_expected(channel: Channel, case: Case) -> None:
    for cut in (None, 1) if len(case.sent) < 3_000 else (None, 1_000):
        gateway = channel.gateway(LIMITS)
        connection = gateway.connect()
        connection.send(case.sent, cut=cut)
        replies = connection.replies()
        assert tuple(reply.status for reply in replies) == case.expected, (cut, case.why, replies)
        for reply in replies:
            assert reply.status < 400 or reply.problem
            assert reply.header("server") is None
        if case.closes:
            assert replies[-1].header("connection") == "close"
            connection.send(request("PUT", "/usage", b'"behind"'))
            assert connection.raw == b""
            gateway.clock.advance(LIMITS.linger)
            gateway.clock.advance(LIMITS.close_timeout)
            assert not connection.open
        else:
            connection.send(request("GET", "/health"))
            assert connection.reply().status == 200, "the next request was not read where it begins"
            connection.hang_up()
        assert gateway.backend.usage.lines == case.kept
        assert {entry.user for entry in gateway.backend.usage.entries} <= {"alice"}
        assert gateway.resource.door.memory.held == 0
        assert gateway.clock.getDelayedCalls() == []


@pytest.fixture(scope="module")
def process(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("hostile")
    made = Process(folder / "gateway", storage={"directory": str(folder / "objects")}, **channel.config)
    yield made.start()
    made.clean_up()


def talk(port: int, data: bytes) -> bytes:
    """What is answered until the other side closes, or, where it does not, to a last request that asks it to."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        try:
            client.sendall(data + b"GET /health HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n")
            while part := client.recv(65_536):
                found += part
        except ConnectionError:
            pass  # it was closed on us with bytes unread: what came before is what counts
    return found


def test_each_case_is_answered_as_expected_by_a_real_process(process: Process, tmp_path: Path) -> None:
    wrong = []
    for case in CASES:
        replies, rest = read_replies(talk(process.port, case.sent))
        expected = case.expected if case.closes else (*case.expected, 200)
        if tuple(reply.status for reply in replies) != expected or rest:
            wrong.append((case.name, [reply.status for reply in replies], rest))
    assert not wrong
    assert process.stop() == 0
    kept = records(stored(process.folder.parent / "objects"), "usage/")
    assert kept == [1] * sum(bool(case.kept) for case in CASES)
    log = process.log.read_text()
    assert "Traceback" not in log and '"level": "critical"' not in log and '"level": "error"' not in log
    assert eventually(lambda: not process.waiting_files())
