"""TLS, clients' certificates and proxies, tried on a real process from the outside."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blackbox.gateway import Gateway, eventually, records
from tests.blackbox.test_running import stored
from tests.certificates import Authority

Make = Callable[..., Gateway]
CHANNELS = ("httptools", "twisted") if importlib.util.find_spec("httptools") else ("twisted",)
WAYS = [*((channel, 1) for channel in CHANNELS), ("auto", 2)]
"""Who reads HTTP, in how many processes."""


def trusting(authority: Authority, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    if own is not None:
        context.load_cert_chain(*map(str, own))
    return context


def connect(daemon: Gateway, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    client = http.client.HTTPSConnection("localhost", daemon.port, context=context, timeout=30)
    client.connect()
    return client


def put(client: http.client.HTTPSConnection, number: int, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client.request("PUT", "/usage", b'{"n":%d}' % number, named)
    answer = client.getresponse()
    answer.read()
    return answer.status


def name_of(client: http.client.HTTPSConnection) -> str:
    found = client.sock.getpeercert()
    assert found is not None
    return dict(pair[0] for pair in found["subject"])["commonName"]


@pytest.mark.parametrize(("channel", "workers"), WAYS)
def test_certificates_of_both_sides_and_another_one_without_a_lost_connection(
    gateway: Make, tmp_path: Path, channel: str, workers: int
) -> None:
    servers, clients = Authority(tmp_path, "servers"), Authority(tmp_path, "clients")
    certificate, key = servers.make("server", "first")
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(clients.path)}
    daemon = gateway(http={"tls": tls, "channel": channel}, workers=workers)
    daemon.start()
    alice = trusting(servers, clients.make("alice", "alice", client=True))
    first = connect(daemon, alice)
    assert name_of(first) == "first"
    assert put(first, 1, User_Token="mallory") == 204  # the certificate counts, before any token
    assert put(connect(daemon, alice), 2) == 204
    client = connect(daemon, alice)
    client.request("PUT", "/specimen?uri=a.bin", b"x" * 1_000_000)
    assert client.getresponse().status == 204
    nameless = connect(daemon, trusting(servers, clients.make("nameless", "../x", client=True)))
    assert put(nameless, 3, User_Token="mallory") == 401
    for other in (trusting(servers), trusting(servers, servers.make("stranger", "alice", client=True))):
        with pytest.raises(OSError):
            put(connect(daemon, other), 4, User_Token="mallory")
    with pytest.raises(OSError):
        daemon.request("GET", "/health")  # plain HTTP

    new_certificate, new_key = servers.make("new", "second")
    os.replace(new_key, key)
    os.replace(new_certificate, certificate)
    eventually(lambda: [name_of(connect(daemon, alice)) for _ in range(6)] == ["second"] * 6)
    assert put(first, 5) == 204
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert [one["n"] for one in records(objects, "usage/")] == [1, 2, 5]
    assert [key for key in objects if key.startswith("specimen/alice/")]
    assert "auth.mode is open" not in daemon.log.read_text()


@pytest.mark.parametrize(("channel", "workers"), WAYS)
def test_tls_behind_a_proxy_that_says_who_is_calling(gateway: Make, tmp_path: Path, channel: str, workers: int) -> None:
    servers = Authority(tmp_path, "servers")
    certificate, key = servers.make("server", "localhost")
    daemon = gateway(
        http={
            "tls": {"certificate": str(certificate), "key": str(key)},
            "proxy_protocol": "on",
            "trusted_proxies": ["127.0.0.0/8"],
            "channel": channel,
        },
        workers=workers,
        log={"level": "debug"},
    ).start()
    plain = socket.create_connection(("127.0.0.1", daemon.port), 30)
    plain.sendall(b"PROXY TCP4 192.0.2.77 10.0.0.1 1234 443\r\n")
    with trusting(servers).wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    eventually(lambda: re.search(r"/health 200 \w+ 192\.0\.2\.77", daemon.log.read_text()))
    with socket.create_connection(("127.0.0.1", daemon.port), 30) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(1000) == b""
    assert daemon.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_with_a_key_of_another_certificate_says_so(gateway: Make, tmp_path: Path, workers: int) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.make("one", "localhost")
    _, key = authority.make("two", "localhost")
    daemon = gateway(http={"tls": {"certificate": str(certificate), "key": str(key)}}, workers=workers)
    with pytest.raises(AssertionError):
        daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(30) == 1
    assert "is not the key of http.tls.certificate" in daemon.log.read_text()
