"""Behind Debian's nginx with the configuration that is shipped: names, bodies and addresses come through as they were."""

from __future__ import annotations

import getpass
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.gateway import HERE, Gateway, eventually, free_port, records
from tests.blackbox.test_running import stored
from tests.certificates import Authority

Make = Callable[..., Gateway]
MIB = 1024 * 1024
EXAMPLE = HERE / "deploy" / "nginx" / "lf6gateway.conf"
CLIENT = "127.0.0.2"
"""Where requests come from: of this machine, but not the address that nginx connects from."""
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx)")


class Proxy:
    """nginx as the example has it, but for its ports, its certificate and whatever else is said."""

    def __init__(self, folder: Path, gateway_port: int, **changes: str) -> None:
        self.port = free_port()
        authority = Authority(folder)
        certificate, key = authority.make("server", "insights.example.com")
        text = EXAMPLE.read_text()
        for old, new in {
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "    listen [::]:443 ssl;\n": "",
            "127.0.0.1:8080": f"127.0.0.1:{gateway_port}",
            "/etc/lightfile6/tls/fullchain.pem": str(certificate),
            "/etc/lightfile6/tls/privkey.pem": str(key),
            **changes,
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        (folder / "lf6gateway.conf").write_text(text)
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{name}_temp_path {folder}/{name}; " for name in names)
        (folder / "nginx.conf").write_text(
            f"user {getpass.getuser()};\nworker_processes 1;\nerror_log {folder}/error.log info;\npid {folder}/pid;\ndaemon off;\n"
            f"events {{}}\nhttp {{ access_log {folder}/access.log; {temporary}\n include {folder}/lf6gateway.conf; }}\n"
        )
        self.log = folder / "error.log"
        command = [str(NGINX), "-p", str(folder), "-e", str(self.log), "-c", str(folder / "nginx.conf")]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        self._tls = ssl.create_default_context(cafile=str(authority.path))
        self.process = subprocess.Popen(command)
        eventually(self._listens)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self._tls)
        connection.sock = self._tls.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), 30, source_address=(CLIENT, 0)),
            server_hostname="localhost",
        )
        return connection

    def request(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            connection.request("PUT", path, body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def proxied(tmp_path: Path, gateway: Make) -> Iterator[Callable[..., tuple[Proxy, Gateway]]]:
    made: list[Proxy] = []

    def make(changes: dict[str, str] | None = None, **config: Any) -> tuple[Proxy, Gateway]:
        daemon = gateway(
            http={"trusted_proxies": ["127.0.0.1/32"]}, audit={"file": str(tmp_path / "audit.jsonl")}, **config
        ).start()
        folder = tmp_path / "nginx"
        folder.mkdir()
        made.append(Proxy(folder, daemon.port, **(changes or {})))
        return made[-1], daemon

    yield make
    for one in made:
        one.stop()


def audited(tmp_path: Path, count: int) -> list[dict[str, Any]]:
    trail = tmp_path / "audit.jsonl"
    lines = eventually(lambda: trail.exists() and len(found := trail.read_text().splitlines()) == count and found)
    return [json.loads(line) for line in lines]


def test_reports_and_specimens_come_through_nginx(proxied: Any, tmp_path: Path) -> None:
    proxy, daemon = proxied()
    status, headers, body = proxy.request(
        "/usage", b'{"n":1}', USER_TOKEN="alice", **{"X-Forwarded-For": "198.51.100.9"}
    )
    assert (status, body) == (204, b"")
    assert headers["x-request-id"]
    batch = b"".join(b'{"n":%d}\n' % number for number in range(2, 5000))
    assert proxy.request("/error", batch, USER_TOKEN="bob", **{"Content-Type": "application/x-ndjson"})[0] == 204
    status, headers, body = proxy.request("/usage", b"{", USER_TOKEN="alice")
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert proxy.request("/usage", b"{}")[0] == 401

    whole = bytes(range(256)) * (8 * MIB // 256)
    connection = proxy.connect()
    connection.putrequest("PUT", "/specimen?uri=file:///C:/photos/broken.png")
    connection.putheader("USER_TOKEN", "alice")
    connection.putheader("Content-Length", str(len(whole)))
    connection.endheaders()
    connection.send(whole[: 6 * MIB])
    # It is on its way to the gateway's disk though nginx has not got all of it: nginx does not store it first.
    eventually(lambda: sum(path.stat().st_size for path in daemon.cache.rglob("*.part")) > 4 * MIB)
    connection.send(whole[6 * MIB :])
    answer = connection.getresponse()
    assert answer.status == 204
    connection.close()

    told = audited(tmp_path, 5)
    assert [(one["stream"], one["status"], one.get("user")) for one in told] == [
        ("usage", 204, "alice"),
        ("error", 204, "bob"),
        ("usage", 400, "alice"),
        ("usage", 401, None),
        ("specimen", 204, "alice"),
    ]
    # The client's own word is not believed; nginx's is.
    assert {(one["address"], one["peer"]) for one in told} == {(CLIENT, "127.0.0.1")}
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert records(objects, "usage/") == [{"n": 1}]
    assert [one["n"] for one in records(objects, "error/")] == list(range(2, 5000))
    assert [data for key, data in objects.items() if key.startswith("specimen/alice/")] == [whole]


def test_what_nginx_refuses_itself_is_a_problem_too(proxied: Any) -> None:
    proxy, daemon = proxied({"client_max_body_size 256m": "client_max_body_size 1m"})
    status, headers, body = proxy.request("/specimen?uri=a", b"x" * (MIB + 1), USER_TOKEN="alice")
    assert (status, headers["content-type"], json.loads(body)["status"]) == (413, "application/problem+json", 413)
    assert daemon.stop() == 0
    status, headers, body = proxy.request("/usage", b"{}", USER_TOKEN="alice")
    assert (status, headers["content-type"], headers["retry-after"]) == (503, "application/problem+json", "5")
    assert json.loads(body)["status"] == 503


def test_its_bounds_fit_the_gateways_defaults() -> None:
    from lf6gateway.values.settings_parse import parse_settings

    settings = parse_settings("storage: {directory: /srv}", "-", {}, cwd="/", hostname="h")
    text = EXAMPLE.read_text()

    def seconds(directive: str) -> float:
        found = text.partition(f"{directive} ")[2].partition("s;")[0]
        return float(found)

    assert f"client_max_body_size {settings.http.max_specimen // MIB}m;" in text
    assert seconds("    keepalive_timeout") < settings.http.idle_timeout.seconds
    assert seconds("client_header_timeout") > settings.http.header_timeout.seconds
    assert seconds("client_body_timeout") > settings.http.body_timeout.seconds
