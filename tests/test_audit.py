"""The audit trail: what it says of each request, and that no file, disk or client breaks a line of it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk import audit_file
from lf6gateway.disk.offload import inline
from lf6gateway.edges.cli import main
from lf6gateway.services import audit as module
from lf6gateway.services.audit import AuditTrail
from lf6gateway.values.audit_entry import audit_line
from tests.deferreds import result_of
from tests.http_support import HandOffload, each_channel, request
from tests.test_guard import Guarded

__all__ = ["each_channel"]

NOW_NS = 1_700_000_000_123_456_789


def entries(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="ascii")
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


class World:
    def __init__(self, folder: Path, offload: Any = inline) -> None:
        self.path = folder / "audit.jsonl"
        self.clock = Clock()
        self.trail = AuditTrail(str(self.path), clock=self.clock, offload=offload, now_ns=lambda: NOW_NS)

    def start(self) -> World:
        result_of(Deferred.fromCoroutine(self.trail.start()))
        return self

    def numbers(self, path: Path | None = None) -> list[int]:
        return [one["n"] for one in entries(path or self.path)]


def test_a_line_is_one_object_whatever_is_in_it() -> None:
    line = audit_line("request", NOW_NS, {"a": "x\n\x1b\u2028\u202e\udc80", "b": None, "c": "y" * 5000, "n": 1})
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    found = json.loads(line)
    assert found["time"] == "2023-11-14T22:13:20.123Z"
    assert found["a"] == "x\n\x1b\u2028\u202e\udc80"
    assert "b" not in found
    assert len(found["c"]) == 1024 and found["c"].endswith("…")


def test_entries_are_written_in_order_off_the_reactor(tmp_path: Path) -> None:
    offload = HandOffload()
    world = World(tmp_path, offload)
    starting = Deferred.fromCoroutine(world.trail.start())
    offload.run()
    result_of(starting)
    for number in range(5):
        world.trail.tell("x", {"n": number})
    assert world.numbers() == []
    offload.run()
    assert world.numbers() == [0, 1, 2, 3, 4]
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


def test_a_file_that_was_renamed_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    world = World(tmp_path).start()
    world.trail.tell("x", {"n": 1})
    old = tmp_path / "old"
    world.path.rename(old)
    result_of(Deferred.fromCoroutine(world.trail.reopen()))
    assert world.path.exists()
    world.trail.tell("x", {"n": 2})
    world.path.rename(tmp_path / "older")  # and where nobody says so
    world.trail.tell("x", {"n": 3})
    assert (world.numbers(old), world.numbers(tmp_path / "older"), world.numbers()) == ([1], [2], [3])


def test_a_disk_that_takes_nothing_for_a_while_tears_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path).start()
    real, room = os.write, [30]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        size = real(descriptor, data[: room[0]])
        room[0] -= size
        return size

    monkeypatch.setattr(audit_file.os, "write", write)
    world.trail.tell("x", {"n": 1})
    world.trail.tell("x", {"n": 2})
    world.clock.advance(5)
    room[0] = 10_000
    world.trail.tell("x", {"n": 3})
    world.clock.advance(5)
    world.trail.tell("x", {"n": 4})
    assert world.numbers() == [1, 2, 3, 4]


def test_entries_beyond_what_may_wait_are_lost_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    offload = HandOffload()
    world = World(tmp_path, offload)
    for number in range(10):
        world.trail.tell("x", {"n": number})
    offload.run()
    world.trail.tell("x", {"n": 10})
    offload.run()
    found = entries(world.path)
    assert [one.get("n", one) for one in found[:4]] == [0, 1, 2, 3]
    assert (found[4]["event"], found[4]["count"]) == ("lost", 6)
    assert found[5]["n"] == 10
    assert world.trail.lost == 6


def test_a_stop_writes_what_waits(tmp_path: Path) -> None:
    offload = HandOffload()
    world = World(tmp_path, offload)
    for number in range(3):
        world.trail.tell("x", {"n": number})
    world.trail.tell("x", {"n": 3})
    stopping = Deferred.fromCoroutine(world.trail.stop())
    offload.run()
    result_of(stopping)
    assert world.numbers() == [0, 1, 2, 3]
    assert world.clock.getDelayedCalls() == []


class Audited(Guarded):
    def __init__(self, more: str = "", *, tokens: bool = True) -> None:
        super().__init__(more, tokens=tokens)
        self.told: list[dict[str, Any]] = []
        trail: Any = self
        self.access.audit = trail

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        assert event == "request"
        self.told.append({name: value for name, value in fields.items() if value is not None})


@pytest.mark.usefixtures("each_channel")
def test_each_request_is_told_with_its_answer() -> None:
    gateway = Audited("http: {trusted_proxies: [192.0.2.0/24]}")
    gateway.put("of-alice", "/specimen?uri=a%20b%0Ac", "X-Request-Id: r1", "X-Forwarded-For: 198.51.100.7")
    assert gateway.told == [
        {
            "user": "alice", "by": "1", "address": "198.51.100.7", "peer": "192.0.2.7", "method": "PUT",
            "stream": "specimen", "query": "uri=a b\nc", "bytes": 7, "request_id": "r1", "status": 204,
        }
    ]  # fmt: skip


@pytest.mark.usefixtures("each_channel")
def test_what_was_refused_is_told_with_the_reason_that_the_sender_is_not_told() -> None:
    gateway = Audited("limits: {user_requests: 4/1h, deny: [198.51.100.0/24]}\nhttp: {trusted_proxies: [192.0.2.0/24]}")
    gateway.put_and_wait("wrong")
    gateway.put(None)
    gateway.put("of-bob", "/usage")
    gateway.put("of-alice", "/usage", "X-Forwarded-For: 198.51.100.7")
    gateway.put("of-alice", "/usage", "Content-Encoding: br")
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"{x", user="of-alice"))
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1234", user="of-alice")[:-2])
    connection.hang_up()
    gateway.put("of-alice", "/usage", "Idempotency-Key: k")
    gateway.put("of-alice")
    brief = [
        (one.get("user"), one.get("status"), one.get("problem"), one["bytes"], one.get("reason"))
        for one in gateway.told
    ]
    assert brief == [
        (None, 401, "bad-token", 7, "a secret reason"),
        (None, 401, "no-user", 0, None),
        ("bob", 403, "stream-not-allowed", 0, None),
        (None, 403, "address-not-allowed", 0, None),
        ("alice", 415, "unsupported-encoding", 0, None),
        ("alice", 400, "invalid-json", 2, None),
        ("alice", None, "aborted", 2, None),
        ("alice", 204, None, 7, None),
        ("alice", 429, "too-many-requests", 0, None),
    ]
    assert "of-alice" not in json.dumps(gateway.told)


@pytest.mark.usefixtures("each_channel")
def test_in_the_open_mode_too() -> None:
    gateway = Audited(tokens=False)
    gateway.put("carol")
    assert [(one["user"], one["status"]) for one in gateway.told] == [("carol", 204)]


def test_the_token_command_tells_what_it_has_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, trail = tmp_path / "config.yml", tmp_path / "audit.jsonl"
    config.write_text(
        f"storage: {{directory: {tmp_path}/out}}\nauth: {{tokens_file: {tmp_path}/t}}\naudit: {{file: {trail}}}\n"
    )
    main(["token", "add", "alice", "--streams", "usage", "-c", str(config)])
    first = entries(trail)[0]
    assert (first["event"], first["action"], first["user"], first["streams"]) == ("token", "add", "alice", ["usage"])
    assert first["operator"]
    main(["token", "rotate", first["id"], "-c", str(config)])
    main(["token", "revoke", "--user", "alice", "-c", str(config)])
    assert [one["action"] for one in entries(trail)] == ["add", "rotate", "add", "revoke"]
    secrets = [line.split("_", 2)[2] for line in capsys.readouterr().out.splitlines()]
    assert len(secrets) == 2
    assert not any(secret in trail.read_text() for secret in secrets)
    trail.unlink()
    trail.mkdir()
    main(["token", "add", "bob", "-c", str(config)])
    captured = capsys.readouterr()
    assert captured.out.startswith("lf6_") and "could not be written" in captured.err
