"""The Python client against the running gateway: what was handed over arrives once, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lf6gateway.client import Client, Event, NotSendable, Options, QueueFailed, QueueFull
from lf6gateway.client.options import MIB
from tests.blackbox.gateway import HERE, Gateway, eventually, free_port, records
from tests.blackbox.test_running import stored
from tests.certificates import Authority

Make = Callable[..., Gateway]
QUICK: dict[str, Any] = {"batch_seconds": 0.05, "retry_min": 0.02, "retry_max": 0.2}


def url_of(daemon: Gateway) -> str:
    return f"http://127.0.0.1:{daemon.port}"


def queue_of(tmp_path: Path, **more: Any) -> Options:
    return Options(queue=str(tmp_path / "queue"), **{**QUICK, **more})


def left_in(tmp_path: Path) -> list[str]:
    """The files of the queue in which something waits."""
    return [path.name for path in (tmp_path / "queue").rglob("*") if path.is_file() and path.name != "lock"]


def numbers(tmp_path: Path, stream: str = "usage/") -> list[int]:
    return [one["n"] for one in records(stored(tmp_path / "objects"), stream)]


class Program:
    """``client_process`` as a process."""

    def __init__(self, url: str, tmp_path: Path, first: int, count: int = 0, *more: str) -> None:
        quick = [f"{name}={value}" for name, value in QUICK.items()]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.blackbox.client_process"),
                *(url, str(tmp_path / "queue"), str(first), str(count), *quick, *more),
            ],
            cwd=HERE,
            stdout=subprocess.PIPE,
        )
        self.taken: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip().isdigit() and line.endswith(b"\n"):
                self.taken.append(int(line))

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.wait()

    def wait(self) -> int:
        status = self.process.wait(60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until nothing does."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def answering(answers: Callable[[int], tuple[int, dict[str, str], bytes]]) -> Iterator[tuple[str, list[Any]]]:
    """A server that is no gateway: what it answers to its first request, its second, and so on."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((time.monotonic(), {**self.headers, ":path": self.path}, body))
            status, headers, answer = answers(len(seen))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_CONNECT(self) -> None:
            seen.append((time.monotonic(), {**self.headers, ":path": self.path}, b""))
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as other:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=pump, args=(other, self.connection))
                back.start()
                pump(self.connection, other)
                back.join()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_everything_arrives_as_it_was_handed_over(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    picture = tmp_path / "bröken picture.png"
    picture.write_bytes(os.urandom(3 * MIB))
    with Client(url_of(daemon), "Älice", queue_of(tmp_path)) as client:
        assert client.usage({"n": 1, "text": "日本\u2028", "half": "\ud800"})
        assert client.usage(b' {"n":\n2.50, "big":123456789012345678901234567890} ')
        try:
            raise ValueError("at fault") from KeyError("the cause")
        except ValueError as error:
            assert client.error(error, more={"version": "6.1"})
        assert client.specimen(picture)
        with picture.open("rb") as file:
            file.seek(MIB)
            assert client.specimen(file, uri="file:///C:/fotos/b.png?x#y", content_type="image/x-own")
        for wrong in (float("nan"), object(), b"{", "x" * MIB):
            with pytest.raises(NotSendable):
                client.usage(wrong)
        assert client.flush(30)
        assert client.statistics.sent == 5
        assert client.statistics.waiting_bytes == 0
    assert left_in(tmp_path) == []
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    first, second = records(objects, "usage/")
    assert first == {"n": 1, "text": "日本\u2028", "half": "\ud800"}
    assert second == {"n": 2.5, "big": 123456789012345678901234567890}
    (error,) = records(objects, "error/")
    assert list(error) == ["version", "exception", "module", "message", "traceback", "cause"]
    assert (error["exception"], error["message"], error["cause"]["exception"]) == ("ValueError", "at fault", "KeyError")
    assert error["traceback"][0]["code"].startswith("raise ValueError")
    bodies = sorted(
        (path.stat().st_size, path.parts[-5])
        for path in (tmp_path / "objects/specimen").rglob("*.png")
        if ".meta" not in path.parts
    )
    assert bodies == [(2 * MIB, "Älice"), (3 * MIB, "Älice")]


def test_a_client_that_is_killed_in_the_middle_loses_and_doubles_nothing(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    taken: list[int] = []
    for round_number in range(2):
        program = Program(url_of(daemon), tmp_path, round_number * 100_000)
        eventually(lambda program=program, least=100 + 40 * round_number: len(program.taken) > least)
        program.end()
        taken += program.taken
    Program(url_of(daemon), tmp_path, 900_000, 1).wait()
    with Client(url_of(daemon), "alice", queue_of(tmp_path)) as client:
        assert client.flush(30)
    assert left_in(tmp_path) == []
    assert daemon.stop() == 0
    found = numbers(tmp_path)
    assert len(found) == len(set(found))
    assert set(taken) | {900_000} <= set(found)
    # What was handed over when the kill came, and was never said to be kept: one call each time.
    assert len(set(found) - set(taken)) <= 3


def test_a_gateway_that_is_killed_and_away_gets_everything_once(gateway: Make, tmp_path: Path) -> None:
    port = free_port()
    daemon = gateway()
    program = Program(f"http://127.0.0.1:{port}", tmp_path, 0)
    eventually(lambda: len(program.taken) > 50)  # there is no gateway yet
    for _ in range(2):
        daemon.start(port=port)
        before = len(program.taken)
        eventually(lambda before=before: len(program.taken) > before + 50)
        eventually(lambda: any(daemon.cache.rglob("*.seg")))
        daemon.kill()
    assert program.process.poll() is None
    daemon.start(port=port)
    program.end(signal.SIGINT)  # its exit sends what is left
    with Client(f"http://127.0.0.1:{port}", "alice", queue_of(tmp_path)) as client:
        assert client.flush(30)
    assert daemon.stop() == 0
    found = numbers(tmp_path)
    assert len(found) == len(set(found))
    assert set(program.taken) <= set(found)
    assert len(set(found) - set(program.taken)) <= 1


def test_retry_after_is_kept_to_and_the_key_stays(tmp_path: Path) -> None:
    answers = [
        (503, {"Retry-After": "1"}, b""),
        (429, {"Retry-After": "1"}, b""),
        (502, {}, b"<html>"),
        (200, {}, b"ok"),
    ]
    with (
        answering(lambda number: answers[number - 1] if number <= len(answers) else (204, {}, b"")) as (url, seen),
        Client(url, "alice", queue_of(tmp_path)) as client,
    ):
        for n in range(200):
            assert client.usage({"n": n})
        assert client.flush(30)
    assert len(seen) >= 5
    assert len({headers["Idempotency-Key"] for _, headers, _ in seen[:5]}) == 1
    assert len({body for _, _, body in seen[:5]}) == 1
    assert seen[1][0] - seen[0][0] >= 1.0
    assert seen[2][0] - seen[1][0] >= 1.0


def test_a_record_that_is_never_taken_is_set_aside_alone(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(http={"max_report": "1KiB", "max_batch": "64KiB", "max_specimen": "1MiB"}).start()
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(12 * MIB))  # refused by its head: the answer comes while it is being sent
    told: list[Event] = []
    deep = b"[" * 600 + b"]" * 600  # JSON, but deeper than the gateway takes
    with Client(url_of(daemon), "alice", queue_of(tmp_path, told=told.append, batch_seconds=30)) as client:
        for n in range(40):
            assert client.usage({"n": n})
        assert client.usage(deep)
        assert client.usage({"long": "x" * 2000})
        for n in range(40, 60):
            assert client.usage({"n": n, "more": "y" * 900})
        assert client.specimen(large)
        assert client.specimen(__file__, content_type="text/x-python")
        assert client.flush(30)
        assert client.statistics.set_aside == 3
        assert client.statistics.sent == 61
    assert daemon.stop() == 0
    assert sorted(numbers(tmp_path)) == list(range(60))
    assert [(event.kind, event.records) for event in told] == [("set-aside", 1)] * 3
    kept = [Path(str(event.path)) for event in told]
    assert sorted(path.read_bytes()[:4] for path in kept) == [b"[[[[", b'{"lo', b'{"ur']
    notes = [json.loads(Path(f"{path}.why.json").read_text())["why"] for path in kept]
    assert all(note.startswith(("400:", "413:")) for note in notes), notes


def test_who_may_not_send_is_told_and_what_he_has_waits(gateway: Make, tmp_path: Path) -> None:
    told: list[Event] = []
    token = ["a/b"]
    daemon = gateway().start()
    options = queue_of(tmp_path, told=told.append, retry_max=0.05, retry_min=0.01)
    with Client(url_of(daemon), lambda: token[0], options) as client:
        assert client.usage({"n": 1})
        eventually(lambda: told)
        assert (told[0].kind, told[0].stream) == ("refused", "usage")
        assert "400" in told[0].detail
        token[0] = "alice"
        assert client.flush(30)
        assert len(told) == 1
    assert daemon.stop() == 0
    assert numbers(tmp_path) == [1]


def test_certificates_of_both_sides_through_a_proxy(gateway: Make, tmp_path: Path) -> None:
    servers, clients = Authority(tmp_path, "servers"), Authority(tmp_path, "clients")
    certificate, key = servers.make("server", "server")
    own, own_key = clients.make("alice", "alice", client=True)
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(clients.path)}
    daemon = gateway(http={"tls": tls}).start()
    url = f"https://localhost:{daemon.port}"
    files = {"certificate": str(own), "key": str(own_key), "identity": "one"}
    stranger = Client(url, "-", queue_of(tmp_path, ca_file=str(clients.path), **files))
    assert stranger.usage({"n": 1})
    assert not stranger.close(0.3)
    with answering(lambda number: (204, {}, b"")) as (proxy, seen):
        proxy = proxy.replace("http://", "http://us%3aer:pass@")
        with Client(url, "-", queue_of(tmp_path, ca_file=str(servers.path), proxy=proxy, **files)) as client:
            assert client.flush(30)
        assert [fields[":path"] for _, fields, _ in seen] == [f"localhost:{daemon.port}"]
        with Client("http://gateway.invalid/behind/", "alice", queue_of(tmp_path, proxy=proxy)) as client:
            assert client.usage({"n": 2})
            assert client.flush(30)
        assert seen[1][1][":path"] == "http://gateway.invalid:80/behind/usage"
        assert {fields["Proxy-Authorization"] for _, fields, _ in seen} == {"Basic dXM6ZXI6cGFzcw=="}
    assert daemon.stop() == 0
    assert [path.parts[-6] for path in (tmp_path / "objects").rglob("*.jsonl.gz")] == ["usage"]
    assert numbers(tmp_path) == [1]


def test_an_answer_that_comes_before_the_body_is_read_counts(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(32 * MIB))

    def refuse(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            for _ in range(20):  # some of it, so that the sender is in the middle when the connection is cut
                connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=refuse, args=(listening,))
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(url, "alice", queue_of(tmp_path, exit_wait=0.0)) as client:
            assert client.specimen(large)
            assert client.flush(30)
            assert (client.statistics.set_aside, client.statistics.retries) == (1, 0)
        server.join()


def test_a_full_queue_refuses_or_drops_the_oldest_as_it_was_told(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    told: list[Event] = []
    small: dict[str, Any] = {"max_bytes": 100_000, "batch_records": 10, "exit_wait": 0.0, "told": told.append}
    client = Client(nowhere, "alice", queue_of(tmp_path, **small))
    with pytest.raises(QueueFull, match="max_bytes"):
        for n in range(10_000):
            assert client.usage({"n": n, "text": "x" * 100})
    assert client.statistics.waiting_bytes <= 100_000
    client.close()
    assert told == []
    used = sum(-(-path.stat().st_size // 4096) * 4096 for path in (tmp_path / "queue").rglob("*.usage.*"))
    assert 80_000 < used <= 100_000

    client = Client(nowhere, "alice", queue_of(tmp_path, when_full="drop-oldest", **small))
    for n in range(10_000, 10_300):
        assert client.usage({"n": n, "text": "x" * 100})
    assert client.statistics.waiting_bytes <= 100_000
    assert client.statistics.dropped == sum(event.records for event in told if event.kind == "dropped") > 100
    client.close()
    client = Client(nowhere, "alice", queue_of(tmp_path, max_age=0.001, **small))
    eventually(lambda: client.statistics.waiting == 0)
    client.close()
    assert left_in(tmp_path) == []


def test_a_fork_sends_what_is_its_own_and_two_processes_share_a_queue(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    client = Client(url_of(daemon), "alice", queue_of(tmp_path))
    assert client.usage({"n": 0})
    programs = [Program(url_of(daemon), tmp_path, 1000 * one, 100) for one in (1, 2)]
    children = []
    for child in range(1, 4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if client.usage({"n": child}) and client.close(20) else 1
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert client.usage({"n": 4})
    assert [program.wait() for program in programs] == [0, 0]
    assert client.close(20)
    assert daemon.stop() == 0
    assert sorted(numbers(tmp_path)) == [*range(5), *range(1000, 1100), *range(2000, 2100)]


def test_another_identitys_records_are_left_alone_and_told_of(gateway: Make, tmp_path: Path) -> None:
    told: list[Event] = []
    nowhere = Client(f"http://127.0.0.1:{free_port()}", "bob", queue_of(tmp_path, exit_wait=0.0))
    assert nowhere.usage({"n": 1})
    nowhere.close()
    daemon = gateway().start()
    with Client(url_of(daemon), "alice", queue_of(tmp_path, told=told.append)) as client:
        assert client.usage({"n": 2})
        assert client.flush(30)
    assert [event.kind for event in told] == ["strangers"]
    assert daemon.stop() == 0
    assert numbers(tmp_path) == [2]
    assert len(left_in(tmp_path)) == 1


def test_the_application_waits_no_longer_than_it_said(tmp_path: Path) -> None:
    with socket.socket() as silent:  # takes connections and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "alice", queue_of(tmp_path))
        assert client.usage({"n": 1})
        assert not client.flush(0.2)
        assert not client.close(0.2)
        reading, writing = os.pipe()
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "alice", queue_of(tmp_path, exit_wait=0.0))
        with open(reading, "rb") as file:
            with pytest.raises(QueueFailed, match="copied into the queue within"):
                client.specimen(file, uri="pipe", wait=0.2)
            os.close(writing)
        client.close()
    eventually(lambda: len(left_in(tmp_path)) == 1)  # the copy ends when its source gives something again


def test_memory_stays_bounded_while_the_gateway_is_away(tmp_path: Path) -> None:
    code = f"""
import resource
from lf6gateway.client import Client, Options
client = Client("http://127.0.0.1:{free_port()}", "alice", Options(queue={str(tmp_path / "queue")!r}, exit_wait=0.0))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
line = {{"text": "x" * 100_000}}
for _ in range(50):
    client.usage(line, wait=30)
before = peak()
for _ in range(1000):
    client.usage(line, wait=30)
print(peak() - before, client.statistics.waiting_bytes)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    more_kib, waiting = map(int, done.stdout.split())
    assert waiting > 100_000_000
    assert more_kib < 16 * 1024
