"""Three gateways with names and disks of their own behind Debian's HAProxy, with the configuration that is shipped: one
dies for good and its disk is shipped later, one is drained and replaced, and all of that under load."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blackbox.command import lf6gateway
from tests.blackbox.gateway import HERE, Gateway, S3Server, eventually, free_port, records
from tests.certificates import Authority

Make = Callable[..., Gateway]
EXAMPLE = HERE / "deploy" / "haproxy" / "haproxy.cfg"
NAME = "localhost"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed (apt-get install haproxy)")


class Proxy:
    """HAProxy as the example has it, but for its ports, its certificate, and how often it looks at a gateway."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.port = free_port()
        authority = Authority(folder)
        (folder / "haproxy.pem").write_bytes(b"".join(path.read_bytes() for path in authority.make("server", NAME)))
        self._socket = str(folder / "admin.sock")
        text = EXAMPLE.read_text()
        changes = {
            "bind :443": f"bind 127.0.0.1:{self.port}",
            "/etc/lightfile6/tls/haproxy.pem": str(folder / "haproxy.pem"),
            "/run/haproxy/admin.sock mode": f"{self._socket} mode",
            "    user haproxy\n    group haproxy\n": "",
            "log /dev/log local0": "log stdout format raw local0",
            "inter 2s": "inter 100ms",
            "    maxconn 20000\n": "    maxconn 500\n",
            **{f"10.0.0.1{number}:8080": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)},
        }
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        (folder / "haproxy.cfg").write_text(text)
        command = [str(HAPROXY), "-f", str(folder / "haproxy.cfg")]
        checked = subprocess.run([*command, "-c"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr, checked.stderr
        self.log = (folder / "haproxy.log").open("wb")
        self._process = subprocess.Popen([*command, "-db"], stdout=self.log, stderr=self.log)
        self._tls = ssl.create_default_context(cafile=str(authority.path))
        eventually(lambda: self.states().count("UP") == len(ports))

    def states(self) -> list[str]:
        """The state of each server, ``DOWN`` while the proxy starts."""
        rows = [line.split(",") for line in self.tell("show stat").splitlines() if line.startswith("gateways,gateway-")]
        return [row[17] for row in rows]

    def sessions(self, name: str) -> int:
        """How many requests a gateway has in hand."""
        return next(
            int(line.split(",")[4])
            for line in self.tell("show stat").splitlines()
            if line.startswith(f"gateways,{name},")
        )

    def tell(self, words: str) -> str:
        with socket.socket(socket.AF_UNIX) as talking:
            try:
                talking.connect(self._socket)
            except OSError:
                return ""
            talking.sendall(words.encode() + b"\n")
            return b"".join(iter(lambda: talking.recv(65536), b"")).decode()

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(NAME, self.port, timeout=30, context=self._tls)
        plain = socket.create_connection(("127.0.0.1", self.port), 30)
        connection.sock = self._tls.wrap_socket(plain, server_hostname=NAME)
        return connection

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self.log.close()


class Load:
    """Senders that go on whatever happens; a number is sent once, so that what was stored unheard is no doubling."""

    def __init__(self, proxy: Proxy, senders: int) -> None:
        self._proxy = proxy
        self._over = threading.Event()
        self.acknowledged: list[int] = []
        self.statuses: Counter[object] = Counter()
        self._threads = [threading.Thread(target=self._send, args=(first, senders)) for first in range(senders)]
        for thread in self._threads:
            thread.start()

    def _send(self, number: int, step: int) -> None:
        connection: http.client.HTTPSConnection | None = None
        while not self._over.is_set():
            try:
                connection = connection or self._proxy.connect()
                connection.request("PUT", "/usage", b'{"n":%d}' % number, {"USER_TOKEN": f"user-{number % 7}"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection = None
                self.statuses[type(error)] += 1
            else:
                self.statuses[answer.status] += 1
                if answer.status == 204:
                    self.acknowledged.append(number)
                else:
                    self._over.wait(0.02)
            number += step
        if connection is not None:
            connection.close()

    def more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        size = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) > size + count)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def proxied(tmp_path: Path, gateway: Make, s3: S3Server) -> Iterator[tuple[Proxy, list[Gateway]]]:
    intervals = ("1h", "200ms", "200ms")  # what the first one took still waits when it dies
    fleet = [fellow(gateway, s3, f"gateway-{number}", interval) for number, interval in enumerate(intervals, 1)]
    for one in fleet:
        one.launch(port=0)
    for one in fleet:
        one.await_listening()
    proxy = Proxy(tmp_path, [one.port for one in fleet])
    yield proxy, fleet
    proxy.stop()


def fellow(gateway: Make, s3: S3Server, name: str, interval: str = "200ms") -> Gateway:
    return gateway(
        name,
        s3=s3,
        hostname=name,
        aggregation={"usage_interval": interval, "error_interval": interval},
        http={"trusted_proxies": ["127.0.0.0/8"]},
        audit={"file": "audit.jsonl"},
    )


def test_a_fleet_loses_and_doubles_nothing(proxied: tuple[Proxy, list[Gateway]], gateway: Make, s3: S3Server) -> None:
    proxy, (first, second, third) = proxied
    send_each_twice(proxy)
    load = Load(proxy, 4)
    try:
        load.more(150)
        first.kill()
        eventually(lambda: proxy.states()[0] == "DOWN")
        load.more(100)

        # Drained, replaced by another machine with an empty disk, and taken back: nobody notices.
        before = load.statuses.copy()
        proxy.tell("set server gateways/gateway-2 state drain")
        eventually(lambda: proxy.sessions("gateway-2") == 0)
        assert second.stop() == 0
        assert second.waiting_files() == []
        fourth = fellow(gateway, s3, "gateway-4").start(port=second.port)
        proxy.tell("set server gateways/gateway-2 state ready")
        eventually(lambda: proxy.states()[1] == "UP")
        load.more(100)
        assert set(load.statuses - before) == {204}
    finally:
        load.end()
    assert first.waiting_files() != []
    shipped = lf6gateway("ship", "--spool", first.cache, "-c", third.config)
    assert shipped.returncode == 0, shipped.stderr.decode()
    for one in (third, fourth):
        assert one.stop() == 0
    eventually(lambda: proxy.states() == ["DOWN"] * 3)
    refused_in_the_gateways_form(proxy)
    objects = s3.objects("insights")
    found = [one["n"] for one in records(objects, "usage/")]
    assert len(found) == len(set(found))
    assert set(load.acknowledged) <= set(found)
    assert sorted(one["n"] for one in records(objects, "error/")) == list(range(12))
    assert {key.split(".")[1] for key in objects if key.startswith("usage/")} == {f"gateway-{n}" for n in range(1, 5)}
    assert len({key for key in objects if key.startswith("error/")}) > 1  # keys were spread
    told = [line for one in (first, second, third) for line in (one.folder / "audit.jsonl").read_text().splitlines()]
    seen = {(entry["user"], entry["address"]) for entry in map(json.loads, told) if entry.get("user") == "alice"}
    assert seen == {("alice", "127.0.0.1")}


def send_each_twice(proxy: Proxy) -> None:
    """Records whose keys are repeated, under a name with an underscore and a forged address."""
    connection = proxy.connect()
    for number in range(12):
        for _ in range(2):
            headers = {"USER_TOKEN": "alice", "Idempotency-Key": f"key-{number}", "X-Forwarded-For": "203.0.113.9"}
            connection.request("PUT", "/error", b'{"n":%d}' % number, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204
    connection.close()


def refused_in_the_gateways_form(proxy: Proxy) -> None:
    """What is answered where no gateway is up."""
    connection = proxy.connect()
    connection.request("PUT", "/error", b"{}", {"USER_TOKEN": "alice"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
    assert answer.getheader("Content-Type") == "application/problem+json"
    assert json.loads(answer.read())["status"] == 503
    connection.close()
