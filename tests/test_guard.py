"""The guard before the endpoints: who is let in, what is told to whom, and that a body waits for its user without being
gathered."""

from __future__ import annotations

from typing import Any

import pytest
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail, succeed
from twisted.web.resource import Resource

from lf6gateway.edges import guard as module
from lf6gateway.edges.awaiting import Awaiting
from lf6gateway.edges.guard import AccessGuard
from lf6gateway.edges.memory import Memory
from lf6gateway.edges.message import Answer
from lf6gateway.services.access import Access
from lf6gateway.services.authenticate import Authenticate
from lf6gateway.services.surroundings import real
from lf6gateway.values.limits import Limits
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.stream import Stream
from lf6gateway.values.who import CannotTell, NotProven, Who
from tests.deferreds import result_of
from tests.http_support import Connection, Gateway, Reply, chunked, each_channel, request

pytestmark = pytest.mark.usefixtures("each_channel")
__all__ = ["each_channel"]

USERS = {
    b"of-alice": Who("alice", "1"),
    b"of-bob": Who("bob", "2", streams=frozenset({Stream.ERROR})),
}


class Prove:
    """Proofs from a table, or by hand."""

    def __init__(self) -> None:
        self.by_hand = False
        self.waiting: list[tuple[bytes, Deferred[Who]]] = []
        self.down = False

    def prove(self, token: bytes) -> Deferred[Who]:
        if self.by_hand:
            self.waiting.append((token, Deferred()))
            return self.waiting[-1][1]
        return self._now(token)

    def _now(self, token: bytes) -> Deferred[Who]:
        if self.down:
            return fail(CannotTell("no keys"))
        return succeed(USERS[token]) if token in USERS else fail(NotProven("a secret reason"))

    def still(self, who: Who) -> bool:
        return True

    def tell(self) -> None:
        token, waiting = self.waiting.pop(0)
        self._now(token).chainDeferred(waiting)


def settings(more: str = "") -> Settings:
    text = f"storage: {{directory: /srv}}\n{more}"
    return parse_settings(text, "config.yml", {}, cwd="/", hostname="machine")


class Guarded(Gateway):
    """A site over a receiver in memory, with a guard at its door."""

    def __init__(self, more: str = "", *, tokens: bool = True, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.prove = Prove()
        self.access = Access(settings(more), real(self.clock, lambda: int(self.clock.seconds() * 1e9)))
        if tokens:
            self.access.authenticate = Authenticate(
                self.prove, secret=b"k" * 16, now_s=self.clock.seconds, max_cached=100
            )
        self.resource.door.guard = AccessGuard(self.access, self.resource.door)

    def put(self, token: str | None = "of-alice", path: str = "/usage", *headers: str) -> Reply | None:
        connection = self.connect()
        connection.send(request("PUT", path, b'{"n":1}', *headers, user=token))
        replies = connection.replies()
        return replies[0] if replies else None

    def put_and_wait(self, token: str | None = "of-alice", path: str = "/usage", *headers: str) -> Reply:
        connection = self.connect()
        connection.send(request("PUT", path, b'{"n":1}', *headers, user=token))
        self.clock.advance(100)
        self.clock.advance(100)
        [reply] = connection.replies()
        return reply


def status(reply: Reply | None) -> int:
    assert reply is not None
    return reply.status


def test_a_token_is_whose_it_is_and_not_its_text() -> None:
    gateway = Guarded()
    assert status(gateway.put()) == 204
    assert status(gateway.put()) == 204
    assert [entry.user for entry in gateway.backend.usage.entries] == ["alice", "alice"]
    assert gateway.access.authenticate is not None
    assert gateway.access.authenticate.proofs == 1


def test_a_specimen_too_needs_a_token() -> None:
    gateway = Guarded()
    assert status(gateway.put("of-alice", "/specimen?uri=a")) == 204
    assert gateway.put_and_wait("alice", "/specimen?uri=a").status == 401
    assert [one.about["user"] for one in gateway.backend.specimens.kept] == ["alice"]


def test_no_token_is_told_at_once() -> None:
    reply = Guarded().put(None)
    assert status(reply) == 401
    assert reply is not None
    assert reply.problem["type"].endswith("no-user")


def test_wrong_tokens_wait_longer_each_time_and_are_told_nothing() -> None:
    gateway = Guarded("auth: {failure_delay: 1s}")
    waited = []
    bodies = set()
    for token in ("x", "y", "alice", "x", *(f"z{n}" for n in range(4))):
        connection = gateway.connect()
        connection.send(request("PUT", "/usage", b'{"n":1}', "X-Request-Id: same", user=token))
        seconds = 0
        while not connection.raw:
            gateway.clock.advance(1)
            seconds += 1
        waited.append(seconds)
        reply = connection.reply()
        assert reply.status == 401
        assert 'error="invalid_token"' in (reply.header("www-authenticate") or "")
        bodies.add(reply.body)
    assert waited == [1, 2, 4, 8, 16, 30, 30, 30]
    assert len(bodies) == 1
    assert b"secret" not in bodies.pop()
    assert gateway.access.refused["token"] == 8
    assert status(gateway.put()) == 204  # who has a good one does not wait for those who have none
    gateway.clock.advance(61)
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1", user="x"))
    gateway.clock.advance(1)
    assert connection.reply().status == 401  # what was long ago is forgiven


def test_a_wait_counts_from_the_arrival_however_long_the_look_took() -> None:
    gateway = Guarded("auth: {failure_delay: 2s}")
    gateway.prove.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1", user="wrong"))
    gateway.clock.advance(1.5)
    gateway.prove.tell()
    assert not connection.raw
    gateway.clock.advance(0.5)
    assert connection.reply().status == 401


def test_only_so_many_answers_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BACK", 2)
    gateway = Guarded()
    assert [gateway.put(token) for token in ("a", "b")] == [None, None]
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1", user="c"))
    gateway.clock.advance(0)
    assert connection.reply().status == 401


def test_a_stop_waits_for_no_answer_that_is_held_back() -> None:
    gateway = Guarded("auth: {failure_delay: 20s}")
    held, left = gateway.connect(), gateway.connect()
    for connection in (held, left):
        connection.send(request("PUT", "/usage", b"1", user="x"))
    left.hang_up()
    assert not held.raw
    assert gateway.resource.door.guard is not None
    gateway.resource.door.guard.hasten()
    gateway.clock.advance(0)
    assert held.reply().status == 401
    held.send(request("PUT", "/usage", b"1", user="x"))
    assert held.reply().status == 401
    assert not left.raw


def test_a_stream_that_a_token_is_not_for_is_told() -> None:
    gateway = Guarded()
    assert status(gateway.put("of-bob", "/error")) == 204
    reply = gateway.put("of-bob", "/usage")
    assert status(reply) == 403
    assert reply is not None
    assert reply.problem["type"].endswith("stream-not-allowed")
    assert gateway.backend.usage.entries == []


def test_what_cannot_be_told_now_is_503() -> None:
    gateway = Guarded()
    gateway.prove.down = True
    reply = gateway.put()
    assert status(reply) == 503
    assert reply is not None
    assert reply.problem["reason"] == "identity_unavailable"
    assert reply.header("retry-after") == "2"


def test_health_and_ready_need_no_token() -> None:
    gateway = Guarded()
    assert gateway.ask(request("GET", "/health", user=None)).status == 200
    assert gateway.ask(request("GET", "/ready", user=None)).status == 200


# A body whose user is still being looked up.


def begun(gateway: Guarded, data: bytes) -> Connection:
    gateway.prove.by_hand = True
    connection = gateway.connect()
    connection.send(data)
    return connection


@pytest.mark.parametrize("path", ["/usage", "/specimen?uri=a.bin"])
def test_a_body_waits_for_its_user_and_is_not_gathered(path: str) -> None:
    gateway = Guarded()
    body = b'"' + b"x" * 300_000 + b'"'
    data = request("PUT", path, body, user="of-alice")
    connection = begun(gateway, data[:1_000])
    assert connection.paused
    memory = gateway.resource.door.memory
    assert 0 < memory.held < 1_000
    gateway.clock.advance(100)  # it is we who are slow: no time-out
    assert not connection.raw
    gateway.prove.tell()
    assert not connection.paused
    connection.send(data[1_000:], cut=10_000)
    assert connection.reply().status == 204
    assert memory.held == 0
    kept = gateway.backend.usage.lines[:-1] or bytes(gateway.backend.specimens.kept[0].body)
    assert kept == body


def test_a_whole_small_request_waits_as_well_and_the_next_one_behind_it() -> None:
    gateway = Guarded()
    one = request("PUT", "/usage", b"1", user="of-alice")
    connection = begun(gateway, one + request("PUT", "/usage", b"2", user="of-alice"))
    assert not connection.raw
    gateway.prove.tell()
    gateway.clock.advance(0)
    assert [reply.status for reply in connection.replies()] == [204, 204]
    assert gateway.backend.usage.lines == b"1\n2\n"


def test_a_chunked_body_waits_as_well() -> None:
    gateway = Guarded()
    connection = begun(gateway, chunked("PUT", "/usage", [b"[1", b",2]"], user="of-alice"))
    gateway.prove.tell()
    gateway.clock.advance(0)
    assert connection.reply().status == 204
    assert gateway.backend.usage.lines == b"[1,2]\n"


def test_a_sender_that_waits_to_be_asked_is_asked_once_its_user_is_known() -> None:
    gateway = Guarded()
    body = b"x" * 100_000
    for token, answer in (("of-alice", 204), ("wrong", 401)):
        data = request("PUT", "/specimen?uri=a", body, "Expect: 100-continue", user=token)
        connection = begun(gateway, data[: -len(body)])
        assert not connection.raw
        gateway.prove.tell()
        gateway.clock.advance(0)
        if answer == 204:
            assert connection.raw == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.transport.clear()
            connection.send(body)
        gateway.clock.advance(1)
        assert connection.reply().status == answer
    assert len(gateway.backend.specimens.begun) == 1


def test_a_wrong_token_s_body_is_let_go_of() -> None:
    gateway = Guarded()
    data = request("PUT", "/specimen?uri=a", b"x" * 200_000, user="wrong")
    connection = begun(gateway, data[:5_000])
    gateway.prove.tell()
    gateway.clock.advance(1)
    assert connection.reply().status == 401
    assert gateway.resource.door.memory.held == 0
    assert gateway.backend.specimens.begun == []


def test_a_client_that_leaves_meanwhile_leaves_nothing_behind() -> None:
    gateway = Guarded()
    for told_first in (True, False):
        connection = begun(gateway, request("PUT", "/usage", b"x" * 1000, user="wrong")[:-10])
        if told_first:
            gateway.prove.tell()
        connection.hang_up()
        if not told_first and gateway.prove.waiting:
            gateway.prove.tell()
    assert gateway.resource.door.memory.held == 0
    assert [call for call in gateway.clock.getDelayedCalls() if call.active()] == []


def test_bodies_of_unknown_users_count_as_memory_in_use() -> None:
    gateway = Guarded(limits=Limits(max_waiting=1_500))
    first = begun(gateway, request("PUT", "/usage", b"x" * 2_000, user="one")[:1_100])
    second = begun(gateway, request("PUT", "/usage", b"x" * 2_000, user="two")[:1_100])
    assert second.reply().status == 503
    assert not first.raw


def test_a_specimen_inside_may_hold_its_sender_from_the_first_byte() -> None:
    gateway = Guarded()
    gateway.backend.specimens.by_hand = True
    data = request("PUT", "/specimen?uri=a", b"x" * 3_000_000, user="of-alice")
    connection = begun(gateway, data[: 2 << 20])  # more than may wait for the disk
    gateway.prove.tell()
    assert connection.paused
    gateway.backend.specimens.begun[0].drain()
    assert not connection.paused
    connection.send(data[2 << 20 :])
    gateway.backend.specimens.begun[0].drain()
    gateway.backend.specimens.begun[0].drain()
    assert connection.reply().status == 204


def test_a_body_that_a_host_s_site_has_buffered_waits_as_well() -> None:
    gateway = Guarded()
    gateway.prove.by_hand = True
    root = Resource()
    root.putChild(b"insights", gateway.resource)
    treq = StubTreq(root)
    for token, status in (("of-alice", 204), ("wrong", 401)):
        answer = treq.request(
            "PUT", "http://host/insights/specimen?uri=a", data=b"x" * 300_000, headers={"User-Token": token}
        )
        treq.flush()
        assert len(gateway.prove.waiting) == 1
        assert gateway.resource.door.memory.held == 0
        gateway.prove.tell()
        gateway.clock.advance(1)
        treq.flush()
        assert result_of(answer).code == status
    assert [len(one.body) for one in gateway.backend.specimens.kept] == [300_000]


def test_a_guard_for_certificates_stays_whatever_the_configuration_says_meanwhile() -> None:
    tls = "http: {tls: {certificate: /c, key: /k, client_ca: /a}}"
    access = Access(settings(tls), real(None))
    assert access.guarded
    access.reconfigure(settings())
    assert access.guarded
    assert not Access(settings(), real(None)).guarded


class Impatient:
    """An intake that answers before it has seen everything."""

    def tell(self, answered: Any, failed: Any) -> None:
        self.answered = answered

    def data(self, chunk: bytes) -> None:
        self.answered(Answer(413))

    def whole(self) -> None: ...

    def abort(self) -> None: ...


def test_what_is_held_for_one_that_answers_early_is_let_go_of() -> None:
    memory, user = Memory(1000), Deferred[str]()
    flow: Any = Hold()
    waiting = Awaiting(user=user, enter=lambda name, flow: Impatient(), flow=flow, memory=memory)
    waiting.begin()
    for _ in range(3):
        waiting.data(b"x" * 100)
    assert memory.held == 300
    user.callback("alice")
    assert result_of(waiting.answer).status == 413
    assert memory.held == 0


class Hold:
    """A sender that may be told anything."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


# A certificate instead of a token.


def with_certificate(gateway: Guarded, user: str | None, token: str = "of-alice") -> Reply:
    gateway.site.certified = True
    connection = gateway.connect()
    connection.channel._certified = (user,)
    connection.send(request("PUT", "/usage", b"1", user=token))
    gateway.clock.advance(100)
    return connection.reply()


def test_a_certificate_counts_before_any_token_and_one_that_names_nobody_lets_nobody_in() -> None:
    gateway = Guarded()
    assert with_certificate(gateway, "carol", "wrong").status == 204
    assert with_certificate(gateway, "").status == 401
    assert with_certificate(gateway, None).status == 204
    assert with_certificate(gateway, None, "wrong").status == 401
    assert [entry.user for entry in gateway.backend.usage.entries] == ["carol", "alice"]
    ignoring = Guarded("auth: {certificate_user: ignored}")
    assert with_certificate(ignoring, "carol").status == 204
    assert [entry.user for entry in ignoring.backend.usage.entries] == ["alice"]


# Where it comes from.


def test_failures_count_by_the_client_that_a_trusted_proxy_names() -> None:
    gateway = Guarded("http: {trusted_proxies: [192.0.2.0/24]}\nauth: {failure_delay: 1s}")

    def seconds(client: str) -> int:
        connection = gateway.connect()
        connection.send(request("PUT", "/usage", b"1", f"X-Forwarded-For: {client}", user="wrong"))
        waited = 0
        while not connection.raw:
            gateway.clock.advance(1)
            waited += 1
        return waited

    assert [seconds("198.51.100.1"), seconds("198.51.100.1"), seconds("198.51.100.2")] == [1, 2, 1]
    assert [seconds("2001:db8::1"), seconds("2001:db8::2"), seconds("2001:db8:0:1::2")] == [1, 2, 1]


def test_failures_are_counted_for_so_many_addresses_and_no_more() -> None:
    gateway = Guarded("http: {trusted_proxies: [192.0.2.0/24]}\nlimits: {max_tracked: 100}")
    for number in range(300):
        gateway.put("wrong", "/usage", f"X-Forwarded-For: 198.51.{number // 250}.{number % 250}")
    assert len(gateway.access.failures) == 100


def test_without_a_guard_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    assert gateway.resource.door.guard is None
    opened: list[Any] = []
    monkeypatch.setattr(AccessGuard, "open", lambda *args: opened.append(args))
    assert gateway.ask(request("PUT", "/usage", b"1")).status == 204
    assert opened == []
