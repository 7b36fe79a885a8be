"""The operators' listener of the running daemon: its figures are those of what was sent, with one process and with
several, and nobody sees them who should not."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.checks import CHECKS, load_all_checks

from tests.blackbox.gateway import Gateway, S3Server, eventually, free_port
from tests.blackbox.test_openapi import COMPARED, asking
from tests.blackbox.test_workers import workers

Make = Callable[..., Gateway]
TOKEN = "a-token-of-the-operators"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all that only ask; something was sent to it."""
    folder = tmp_path_factory.mktemp("running")
    admin = {"listen": "127.0.0.1:0", "hosts": "gateway.internal"}
    daemon = Gateway(folder / "gateway", storage={"directory": str(folder / "objects")}, admin=admin).start()
    send_some(daemon)
    yield daemon
    daemon.clean_up()


def metrics(daemon: Gateway, **headers: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples, by name and labels."""
    status, _, body = daemon.ask("/metrics", **headers)
    assert status == 200, body
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(daemon: Gateway, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    return metrics(daemon).get((f"lf6gateway_{name}", frozenset(labels.items())), 0.0)


def send_some(daemon: Gateway) -> None:
    for number in range(7):
        assert daemon.put("/usage", b'{"n":%d}' % number, f"user-{number % 2}") == 204
    assert daemon.put("/error", b'{"n":1}\n{"n":2}\n', "user-0", Content_Type="application/x-ndjson") == 204
    assert daemon.put("/usage", b'{"n":') == 400
    assert daemon.put("/error", b"{}", None) == 401
    assert daemon.put("/specimen?uri=a.png", b"x" * 1000, "user-2") == 204
    assert daemon.request("GET", "/usage")[0] == 405
    assert daemon.request("GET", "/nothing")[0] == 404


@pytest.mark.parametrize("processes", [1, 2])
def test_the_figures_are_those_of_what_was_sent(gateway: Make, s3: S3Server, processes: int) -> None:
    daemon = gateway(s3=s3, workers=processes).start()
    send_some(daemon)

    def agree() -> bool:
        found = metrics(daemon)

        def got(name: str, **labels: str) -> float:
            return found.get((f"lf6gateway_{name}", frozenset(labels.items())), 0.0)

        return (
            got("http_requests_total", stream="usage", code="204") == 7
            and got("http_requests_total", stream="usage", code="400") == 1
            and got("http_requests_total", stream="usage", code="405") == 1
            and got("http_requests_total", stream="error", code="204") == 1
            and got("http_requests_total", stream="error", code="401") == 1
            and got("http_requests_total", stream="specimen", code="204") == 1
            and got("http_requests_total", stream="other", code="404") == 1
            and got("http_request_bytes_total", stream="usage", code="204") == 7 * 7
            and got("http_request_bytes_total", stream="specimen", code="204") == 1000
            and got("http_request_duration_seconds_count", stream="usage", code="204") == 7
            and got("http_problems_total", problem="invalid-json") == 1
            and got("records_received_total", stream="usage") == 7
            and got("records_received_total", stream="error") == 2
            and got("records_received_total", stream="specimen") == 1
            and got("shipped_records_total", stream="usage") == 7
            and got("shipped_records_total", stream="error") == 2
            and got("shipped_objects_total", stream="specimen") == 1
            and got("shipped_bytes_total", stream="specimen") == 1000
            and got("oldest_record_age_seconds", stream="usage") == 0
            and got("users_seen", span="start") == 3
            and got("workers") == (0 if processes == 1 else 2)
            and got("fsync_duration_seconds_count", stream="specimen") > 0
            and got("flush_requests_sum", stream="usage") == 7
        )

    eventually(agree)
    status = daemon.status()
    usage = status["streams"]["usage"]
    assert usage["received"]["hour"]["records"] == usage["received"]["start"]["records"] == 7
    assert usage["codes"] == {"204": 7, "400": 1, "405": 1}
    assert usage["waiting"]["oldest_at"] is None and usage["store"]["last_success_at"]
    eventually(lambda: len(daemon.status()["users"]["hour"]["top"]) == 3, 10)  # sums are some seconds old
    top = daemon.status()["users"]["hour"]["top"]
    assert [(one["user"], one["requests"], one["records"]) for one in top] == [
        ("user-2", 1, 1),
        ("user-0", 5, 6),
        ("user-1", 3, 3),
    ]
    assert {(one["stream"], one["records"]) for one in status["shipped"]} >= {("error", 2), ("specimen", 1)}
    assert len(status["process"]["workers"]) == (0 if processes == 1 else 2)
    assert "planted-secret" not in daemon.ask("/status")[2].decode()
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log.read_text()


def test_a_worker_that_dies_takes_no_more_with_it_than_it_had_not_told(gateway: Make) -> None:
    daemon = gateway(workers=2).start()
    for _ in range(20):
        assert daemon.put("/usage", b"{}") == 204
    eventually(lambda: value(daemon, "http_requests_total", stream="usage", code="204") == 20)
    for pid in workers(daemon):
        subprocess.run(["kill", "-9", str(pid)], check=True)
    eventually(lambda: value(daemon, "worker_deaths_total") == 2)
    assert value(daemon, "http_requests_total", stream="usage", code="204") == 20
    eventually(lambda: len([one for one in daemon.status()["process"]["workers"] if one["listening"]]) == 2)
    assert daemon.put("/usage", b"{}") == 204
    eventually(lambda: value(daemon, "http_requests_total", stream="usage", code="204") == 21)


def test_open_metrics_is_told_where_it_is_asked_for(running: Gateway) -> None:
    accept = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"
    _, headers, body = running.ask("/metrics", Accept=accept)
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    found = {one.name for one in open_metrics_families(body.decode())}
    assert {"lf6gateway_http_requests", "lf6gateway_build"} <= found


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_nothing_to_say_about_the_metrics(running: Gateway) -> None:
    said = subprocess.run(["promtool", "check", "metrics"], input=running.ask("/metrics")[2], capture_output=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


def test_what_waits_and_what_fails_is_told_with_its_remedy(gateway: Make, s3: S3Server) -> None:
    s3.client.delete_bucket(Bucket="insights")
    daemon = gateway(s3=s3, workers=1).start()
    assert daemon.put("/usage", b"{}") == 204
    assert daemon.put("/specimen?uri=a.png", b"x") == 204
    eventually(lambda: daemon.status()["streams"]["usage"]["store"]["cause"] == "no_bucket")
    eventually(lambda: daemon.status()["streams"]["specimen"]["waiting"]["oldest_at"])
    status = daemon.status()
    usage, specimen = status["streams"]["usage"], status["streams"]["specimen"]
    assert usage["waiting"]["members"] == 1 and usage["waiting"]["oldest_s"] > 0
    assert specimen["waiting"]["specimens"] == 1 and specimen["store"]["failing_s"] > 0
    assert "no_bucket" in {error["cause"] for error in status["errors"]}
    assert all(error["remedy"] for error in status["errors"] if error["cause"] == "no_bucket")
    assert value(daemon, "ship_failures_total", stream="usage", cause="no_bucket") >= 1
    assert value(daemon, "oldest_record_age_seconds", stream="specimen") > 0
    assert value(daemon, "store_failing_seconds", stream="usage") > 0


def test_what_was_set_aside_is_listed_with_the_reason(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    assert daemon.status()["quarantine"]["count"] == 0
    daemon.kill()
    folder = daemon.cache / "spool" / "specimen" / "2026010100"
    folder.mkdir(parents=True)
    (folder / f"{1767225600000000000:020d}-{'a' * 32}.spec").write_bytes(b"no specimen")
    daemon.start()
    found = eventually(lambda: daemon.status()["quarantine"]["items"])
    assert found[0]["stream"] == "specimen" and found[0]["bytes"] == len(b"no specimen") and found[0]["why"]
    assert value(daemon, "quarantine_files") == 1


# Who may see it.


def test_the_public_port_shows_none_of_it(running: Gateway) -> None:
    for path in ("/metrics", "/status", "/history", "/openapi.json"):
        assert running.request("GET", path)[0] == 404
    assert running.ask("/usage")[0] == 404


def test_errors_are_problems_as_on_the_public_port(running: Gateway) -> None:
    for path, method, wanted in (
        ("/nothing", "GET", 404),
        ("/status", "POST", 405),
        ("/status/x", "GET", 404),
    ):
        status, headers, body = running.ask(path, method)
        assert status == wanted == json.loads(body)["status"]
        assert headers["content-type"] == "application/problem+json"
        assert (headers.get("allow") == "GET, HEAD") == (wanted == 405)
    for wrong in ("0", "1441", "x", "1&minutes=2", ""):
        assert running.ask(f"/history?minutes={wrong}")[0] == (200 if wrong == "" else 400)
    status, headers, body = running.ask("/status", "HEAD")
    assert status == 200 and int(headers["content-length"]) > 1000 and body == b""


def test_a_name_that_is_not_ours_is_refused(running: Gateway) -> None:
    for host, wanted in {
        "127.0.0.1": 200,
        "[::1]:9606": 200,
        "localhost:1": 200,
        "Gateway.Internal:80": 200,
        "evil.example": 421,
        "127.0.0.1.evil.example": 421,
        "localhost.evil.example:9606": 421,
    }.items():
        assert running.ask("/status", Host=host)[0] == wanted, host


def test_where_others_reach_it_a_token_is_asked_for(gateway: Make, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    daemon = gateway(admin={"listen": "0.0.0.0:0", "token_file": str(file)}).start()
    for authorization, wanted in {
        "": 401,
        f"Bearer {TOKEN}": 200,
        f"bearer {TOKEN}": 200,
        f"Bearer {TOKEN}x": 401,
        f"Basic {TOKEN}": 401,
        "Bearer ": 401,
    }.items():
        for path in ("/status", "/metrics", "/history", "/openapi.json", "/nothing"):
            status, headers, _ = daemon.ask(path, **({"Authorization": authorization} if authorization else {}))
            assert status == (wanted if wanted == 401 or path != "/nothing" else 404), (authorization, path)
            assert ("www-authenticate" in headers) == (status == 401)
    assert daemon.ask("/health")[0] == daemon.ask("/ready")[0] == 200
    file.write_text("another-token-of-them")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.ask("/status", Authorization="Bearer another-token-of-them")[0] == 200)
    assert daemon.ask("/status", Authorization=f"Bearer {TOKEN}")[0] == 401
    assert TOKEN not in daemon.log.read_text()


def refused(daemon: Gateway) -> str:
    process = daemon.launch()
    assert process.wait(30) == 1
    said = daemon.log.read_text()
    assert "Traceback" not in said
    return said


def test_no_listener_for_all_without_a_token(gateway: Make) -> None:
    said = refused(gateway(admin={"listen": "0.0.0.0:9606"}))
    assert "admin.listen: 0.0.0.0:9606 can be reached by other machines" in said and "admin.token" in said


def test_a_token_file_that_cannot_be_read_ends_the_start(gateway: Make, tmp_path: Path) -> None:
    said = refused(gateway(admin={"listen": "127.0.0.1:0", "token_file": str(tmp_path / "missing")}))
    assert "admin.token_file" in said and "No such file" in said


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_was_named_and_is_taken_ends_the_start(gateway: Make, taken: int) -> None:
    said = refused(gateway(admin={"listen": f"127.0.0.1:{taken}"}))
    assert len(said.splitlines()) == 1
    assert f"admin.listen: 127.0.0.1:{taken} is taken by another program" in said


def test_where_the_default_is_taken_the_gateway_runs_on_without_it(gateway: Make) -> None:
    other = socket.socket()
    try:
        other.bind(("127.0.0.1", 9606))
        other.listen()
    except OSError:
        pass  # somebody has it already, which is as good
    with other:
        daemon = gateway(admin={}).start()
        assert daemon.admin_port == 0
        assert "The gateway runs without /metrics and /status" in daemon.log.read_text()
        assert daemon.put("/usage", b"{}") == 204
        assert daemon.stop() == 0


def test_it_can_be_turned_off(gateway: Make) -> None:
    for said in ("off", ""):
        daemon = gateway(f"gateway-{said}", admin={"listen": said}).start()
        assert "9606" not in daemon.log.read_text() and daemon.admin_port == 0
        assert daemon.stop() == 0


def test_it_answers_to_the_end_of_a_stop(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, shutdown={"deadline": "20s"}).start(port=free_port())
    s3.pause()
    assert daemon.put("/usage", b"{}") == 204
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: daemon.ask("/ready")[0] == 503)
    assert daemon.status()["ready"]["reason"] == "draining"
    s3.resume()
    assert daemon.process.wait(30) == 0


# The document.


def test_the_document_is_that_of_both_listeners_and_true(running: Gateway) -> None:
    load_all_checks()
    document: Any = json.loads(running.ask("/openapi.json")[2])
    assert {"/usage", "/specimen", "/metrics", "/status", "/history", "/openapi.json"} <= set(document["paths"])
    document["paths"] = {
        path: {name: one for name, one in found.items() if name != "servers"}
        for path, found in document["paths"].items()
        if "servers" in found
    }
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{running.admin_port}")
    checks = [CHECKS.get_one(name) for name in COMPARED]
    look = settings(
        max_examples=3,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    asked: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        look(given(operation.as_strategy())(asking(asked.setdefault(operation.label, set()), checks)))()
    assert {"GET /status", "GET /metrics", "GET /history", "HEAD /status"} <= set(asked)
    assert all(200 in seen for seen in asked.values()), asked


def test_the_page_on_metrics_has_each_of_them_with_its_words_and_labels(running: Gateway) -> None:
    text = running.ask("/metrics")[2].decode()
    kinds = dict(re.findall(r"^# TYPE (lf6gateway_\w+) (\w+)$", text, re.MULTILINE))
    words = dict(re.findall(r"^# HELP (lf6gateway_\w+) (.*)$", text, re.MULTILINE))
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", page, re.MULTILINE)
    assert {name: (kind, what) for name, kind, _, what in rows} == {name: (kinds[name], words[name]) for name in words}
    told = {name: set(labels.split(", ")) - {""} for name, _, labels, _ in rows}
    for name, labels in metrics(running):
        plain = name if name in told else re.sub(r"_(bucket|count|sum|created)$", "", name)
        if plain in told:
            assert {label for label, _ in labels} - {"le"} == told[plain], name
