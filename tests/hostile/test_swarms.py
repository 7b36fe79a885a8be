"""A real process under many connections that do harm or nothing: the short form of ``tests/campaigns/hostile.py``, and
what thousands of aborted uploads leave behind."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest

from tests.blackbox.gateway import Gateway as Process
from tests.blackbox.gateway import eventually
from tests.campaigns.hostile import _descriptors, _status, campaign, connect, wrong
from tests.hostile.channels import Channel

IDLE, ABUSIVE, SECONDS = 1_500, 24, 3.0


def test_a_client_that_behaves_is_served_beside_many_that_do_not(channel: Channel) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * IDLE:
        pytest.skip(f"this machine lets a process have less than {2 * IDLE} files open")
    figures = campaign(idle=IDLE, abusive=ABUSIVE, seconds=SECONDS, config=channel.config)
    assert not wrong(figures), figures
    assert figures["answers"]["204"] >= 1


def test_idle_connections_beyond_the_limit_keep_nobody_out(channel: Channel) -> None:
    config = {"http": {"max_connections": 200, **channel.config.get("http", {})}}
    figures = campaign(idle=600, abusive=0, seconds=1.0, config=config)
    assert not wrong(figures), figures
    assert figures["descriptors at the end"] < 260
    assert figures["answers"]["204"] >= 1


def test_a_thousand_aborted_uploads_leave_no_file_no_descriptor_and_no_memory(channel: Channel, tmp_path: Path) -> None:
    process = Process(tmp_path / "gateway", storage={"directory": str(tmp_path / "objects")}, **channel.config).start()

    def abort(count: int) -> None:
        for number in range(count):
            target = ("/usage", "/specimen?uri=a")[number % 2]
            lines = (f"PUT {target} HTTP/1.1", "Host: a", "User-Token: a", "Content-Length: 300000")
            with connect(process.port) as client:
                client.sendall("\r\n".join([*lines, "", ""]).encode() + bytes(number % 7 * 40_000))

    def settled() -> bool:
        assert process.process is not None
        return _descriptors(process.process) <= before and not list(process.cache.rglob("*.part"))

    try:
        assert process.put("/usage", b"1") == 204
        assert process.process is not None
        before = _descriptors(process.process) + 4
        abort(200)
        eventually(settled)
        memory = _status(process.process, "VmRSS")
        abort(1_000)
        eventually(settled)
        grown = _status(process.process, "VmRSS") - memory
        assert process.put("/usage", b"2") == 204
        assert process.stop() == 0
    finally:
        process.clean_up()
    assert grown < 24 * 1024, f"{grown} KiB more than before"
    assert not process.waiting_files()
    assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize(
    "data", [b"", b"PUT /us", b"PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: a\r\nContent-Length: 9\r\n\r\n12"]
)
def test_half_open_connections_end_and_leave_nothing(channel: Channel, tmp_path: Path, data: bytes) -> None:
    config = {"storage": {"directory": str(tmp_path / "objects")}, **channel.config}
    process = Process(tmp_path / "gateway", **config).start()
    try:
        clients = [socket.create_connection(("127.0.0.1", process.port), 30) for _ in range(20)]
        for client in clients:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            assert client.recv(1_000) == b"", "an answer to what was never sent whole"
            client.close()
        assert process.put("/usage", b"1") == 204
        assert process.stop() == 0
    finally:
        process.clean_up()
