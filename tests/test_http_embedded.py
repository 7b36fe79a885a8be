"""The same resources mounted in a host's own, plain twisted.web site, where bodies arrive buffered."""

from __future__ import annotations

import gzip
import json

import pytest
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from lf6gateway.values.limits import Limits
from tests.deferreds import result_of
from tests.http_support import Gateway, Transport, chunked, read_replies, request


class Host:
    """A host's site with the gateway's tree under /insights, spoken to by treq without sockets."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.gateway = Gateway(limits)
        root = Resource()
        root.putChild(b"insights", self.gateway.resource)
        self.root = root
        self.treq = StubTreq(root)

    def ask(self, method: str, path: str, **how: object) -> tuple[int, dict[str, str], bytes]:
        how.setdefault("headers", {"User-Token": "alice"})
        answer = self.treq.request(method, f"http://host.example{path}", **how)
        self.treq.flush()
        response = result_of(answer)
        body: bytes = result_of(self.treq.content(response))
        headers = {name.decode().lower(): values[0].decode() for name, values in response.headers.getAllRawHeaders()}
        return response.code, headers, body


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_records_and_specimens_are_taken(method: str) -> None:
    host = Host()
    status, headers, body = host.ask(method, "/insights/usage", data=b'{"a":\n1}')
    assert (status, body) == (204, b"")
    assert "server" not in headers and len(headers["x-request-id"]) == 32
    assert host.ask(method, "/insights/specimen?uri=a%20b", data=b"x" * 300_000)[0] == 204
    assert host.gateway.backend.usage.lines == b'{"a": 1}\n'
    [writer] = host.gateway.backend.specimens.kept
    assert len(writer.body) == 300_000 and writer.about["uri"] == "a b"
    packed = {"User-Token": "alice", "Content-Encoding": "gzip"}
    assert host.ask(method, "/insights/specimen?uri=a", data=gzip.compress(bytes(500_000)), headers=packed)[0] == 204
    assert len(host.gateway.backend.specimens.kept[1].body) == 500_000


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("PUT", "/insights/usage", {"data": b"{"}, 400),
        ("PUT", "/insights/usage", {"data": b"1", "headers": {}}, 401),
        ("PUT", "/insights/usage/", {"data": b"1"}, 404),
        ("PUT", "/insights/", {"data": b"1"}, 404),
        ("GET", "/insights", {}, 404),
        ("GET", "/insights/usage", {}, 405),
        ("DELETE", "/insights/health", {}, 405),
        ("PUT", "/insights/usage", {"data": b"1" * 2_000}, 413),
        ("PUT", "/insights/usage", {"data": b"1", "headers": {"User-Token": "a", "Content-Encoding": "br"}}, 415),
        ("PUT", "/insights/specimen", {"data": b"1"}, 400),
    ],
)
def test_errors_are_problems(method: str, path: str, how: dict[str, object], status: int) -> None:
    found, headers, body = Host(Limits(max_report=1_000)).ask(method, path, **how)
    assert found == status
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["request_id"] == headers["x-request-id"]


def test_health_and_ready() -> None:
    host = Host()
    assert host.ask("GET", "/insights/health")[::2] == (200, b'{"status":"healthy"}')
    assert host.ask("HEAD", "/insights/health")[::2] == (200, b"")
    host.gateway.backend.receiver.drain()
    status, headers, _ = host.ask("GET", "/insights/ready")
    assert status == 503 and int(headers["retry-after"]) >= 1


def test_the_rest_of_the_hosts_site_is_the_hosts() -> None:
    host = Host()
    status, headers, _ = host.ask("GET", "/elsewhere")
    assert status == 404 and headers["content-type"].startswith("text/html")


def plain_site(gateway: Gateway) -> tuple[Transport, object]:
    site = Site(gateway.resource, reactor=gateway.clock)
    site.startFactory()
    transport = Transport(gateway.clock)
    protocol = site.buildProtocol(None)
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return transport, protocol


def test_a_chunked_body_is_taken_as_the_site_has_gathered_it() -> None:
    gateway = Gateway()
    transport, protocol = plain_site(gateway)
    protocol.dataReceived(chunked("PUT", "/usage", [b"[1", b"]"]) + chunked("PUT", "/specimen?uri=a", []))  # type: ignore[attr-defined]
    assert [reply.status for reply in read_replies(bytes(transport.value()))[0]] == [204, 204]


def test_a_disk_that_is_behind_is_waited_for() -> None:
    gateway = Gateway()
    gateway.backend.specimens.by_hand = True
    transport, protocol = plain_site(gateway)
    protocol.dataReceived(request("PUT", "/specimen?uri=a", bytes(5_000_000)))  # type: ignore[attr-defined]
    [writer] = gateway.backend.specimens.begun
    for _ in range(20):
        assert writer.waiting <= 1024 * 1024 + 65_536
        writer.drain()
    assert [reply.status for reply in read_replies(bytes(transport.value()))[0]] == [204]
    assert len(writer.body) == 5_000_000


def test_a_client_that_is_gone_is_no_error() -> None:
    from twisted.logger import capturedLogs

    gateway = Gateway()
    gateway.backend.usage.by_hand = True
    gateway.backend.specimens.by_hand = True
    with capturedLogs() as events:
        for sent in (request("PUT", "/usage", b"1"), request("PUT", "/specimen?uri=a", bytes(2_000_000))):
            transport, protocol = plain_site(gateway)
            protocol.dataReceived(sent)  # type: ignore[attr-defined]
            transport._closed()
        gateway.backend.usage.flush()
    assert events == []
    assert [writer.state for writer in gateway.backend.specimens.begun] == ["aborted"]


def test_an_answer_waits_for_stable_storage() -> None:
    host = Host()
    host.gateway.backend.usage.by_hand = True
    answered: list[object] = []
    answer: Deferred[object] = host.treq.put(
        "http://host.example/insights/usage", data=b"1", headers={"User-Token": "a"}
    )
    answer.addCallback(answered.append)
    host.treq.flush()
    assert answered == []
    host.gateway.backend.usage.flush()
    host.treq.flush()
    [response] = answered
    assert response.code == 204  # type: ignore[attr-defined]


def test_a_body_without_any_length_is_refused_there_too() -> None:
    gateway = Gateway()
    transport, protocol = plain_site(gateway)
    protocol.dataReceived(request("PUT", "/usage"))  # type: ignore[attr-defined]
    assert [reply.status for reply in read_replies(bytes(transport.value()))[0]] == [411]
