"""Alerts of the running daemon, told to a real receiver: each fires once, and is over once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.blackbox.gateway import Gateway, S3Server, eventually
from tests.blackbox.test_admin import value

Make = Callable[..., Gateway]


class Receiver:
    """An HTTP server that notes what it is sent, and answers what the test says."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                if status == 200:
                    receiver.bodies.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/SECRET"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def told(self) -> list[tuple[str, str]]:
        return [(body["alert"], body["state"]) for body in self.bodies]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def test_a_store_that_fails_is_told_of_once_and_that_it_is_over_once(
    gateway: Make, s3: S3Server, receiver: Receiver
) -> None:
    receiver.statuses = [503]  # a receiver that is away for a moment
    s3.client.delete_bucket(Bucket="insights")
    alerts = {"webhook": receiver.url, "store_failing": "1s", "settle": "1s", "disabled": "records_wait"}
    upload = {"retry_min": "100ms", "retry_max": "300ms"}
    daemon = gateway(s3=s3, alerts=alerts, upload=upload).start()
    assert daemon.put("/usage", b"{}") == 204
    eventually(lambda: receiver.told() == [("store_failing", "firing")])
    told = receiver.bodies[0]
    assert told["host"] == "test.host" and told["subject"] == "insights" and "no_bucket" in told["summary"]
    assert told["severity"] == "critical" and told["remedy"]
    (seen,) = daemon.status()["alerts"]
    assert (seen["name"], seen["state"], seen["subject"]) == ("store_failing", "firing", "insights")
    assert value(daemon, "alerts", alert="store_failing", severity="critical", state="firing") == 1
    assert value(daemon, "alert_messages_total", outcome="sent") == 1
    assert value(daemon, "alert_messages_total", outcome="failed") == 1
    s3.client.create_bucket(Bucket="insights")
    eventually(lambda: receiver.told() == [("store_failing", "firing"), ("store_failing", "resolved")], 60)
    assert daemon.status()["alerts"] == []
    assert daemon.status()["settings"]["alerts.webhook"] == "***"
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert log.count("alert store_failing (insights): ") == 2 and "SECRET" not in log and "Traceback" not in log


def test_a_receiver_that_hangs_holds_up_neither_data_nor_a_stop(gateway: Make) -> None:
    from socket import socket

    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        daemon = gateway(alerts={"webhook": url, "format": "slack"})
        folder = daemon.cache / "quarantine" / "usage"
        folder.mkdir(parents=True)
        (folder / "x.seg").write_bytes(b"damaged")
        daemon.start()
        eventually(lambda: [one["name"] for one in daemon.status()["alerts"]] == ["quarantine"])
        assert daemon.put("/usage", b"{}") == 204
        assert daemon.stop() == 0
