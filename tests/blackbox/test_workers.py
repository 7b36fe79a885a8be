"""Several processes that serve one port keep every promise that one does, and their deaths cost nothing."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import yaml

from tests import issuer
from tests.blackbox.gateway import Gateway, S3Server, eventually, records
from tests.blackbox.test_auth import token_command
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
ADDRESSES = itertools.count()
LONG = {"usage_interval": "1h", "error_interval": "1h"}


def workers(daemon: Gateway) -> list[int]:
    """The pids of a gateway's workers."""
    assert daemon.process is not None
    pid = daemon.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def send_number(client: http.client.HTTPConnection, number: int) -> None:
    client.request("PUT", "/usage", b'{"n":%d}' % number, {"User-Token": "alice"})
    answer = client.getresponse()
    answer.read()
    assert answer.status == 204


def connections_to_all(daemon: Gateway, wanted: int) -> list[http.client.HTTPConnection]:
    """Kept connections, so many that each worker has some."""
    made = []
    for _ in range(wanted):
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
        client.request("GET", "/health")
        client.getresponse().read()
        made.append(client)
    return made


def test_workers_that_are_killed_under_load_lose_and_double_nothing(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, workers=2).start()
    acknowledged: list[int] = []
    unknown: list[int] = []
    over = threading.Event()

    def send(first: int) -> None:
        number = first
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
        while not over.is_set():
            number += 10
            try:
                client.request("PUT", "/usage", b'{"n":%d}' % number, {"User-Token": "alice"})
                answer = client.getresponse()
                answer.read()
                (acknowledged if answer.status == 204 else unknown).append(number)
            except ConnectionRefusedError as error:
                raise AssertionError("a connection was refused") from error
            except (OSError, http.client.HTTPException):
                unknown.append(number)
                client.close()

    threads = [threading.Thread(target=send, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for death in range(4):
        victims = eventually(lambda: (found := workers(daemon)) and len(found) == 2 and found)
        before = len(acknowledged)
        eventually(lambda before=before: len(acknowledged) > before + 50)
        os.kill(victims[death % 2], signal.SIGKILL)
        eventually(lambda victim=victims[death % 2]: gone(victim))
    eventually(lambda: len(workers(daemon)) == 2)
    over.set()
    for thread in threads:
        thread.join()
    assert daemon.stop() == 0
    found = [one["n"] for one in records(s3.objects("insights"), "usage/")]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found) <= set(acknowledged) | set(unknown)
    assert daemon.log.read_text().count("another one starts") == 4


def test_the_gateways_death_ends_its_workers_and_the_next_start_ships_what_it_kept(
    gateway: Make, tmp_path: Path
) -> None:
    daemon = gateway(workers=2, aggregation=LONG).start()
    clients = connections_to_all(daemon, 8)
    for number, client in enumerate(clients):
        send_number(client, number)
    left = workers(daemon)
    daemon.kill()
    eventually(lambda: all(map(gone, left)))
    daemon.start()
    assert daemon.stop() == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == list(range(8))


def test_order_of_acknowledgement_holds_across_workers(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(workers=3).start()
    clients = connections_to_all(daemon, 12)
    for number in range(240):
        client = clients[number % len(clients)]
        send_number(client, number)
    assert daemon.stop() == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == list(range(240))


def test_a_key_counts_for_all_workers_for_records_and_specimens(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(workers=2, aggregation=LONG).start()
    for client in connections_to_all(daemon, 8):
        headers = {"User-Token": "alice", "Idempotency-Key": "same"}
        client.request("PUT", "/usage", b'{"n":1}', headers)
        assert client.getresponse().read() == b""
        client.request("PUT", "/specimen?uri=a.bin", b"body", headers)
        assert client.getresponse().status == 204
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert [one["n"] for one in records(objects, "usage/")] == [1]
    assert [data for key, data in objects.items() if key.startswith("specimen/")] == [b"body"]


def test_what_a_dead_worker_was_writing_is_removed(gateway: Make) -> None:
    daemon = gateway(workers=2).start()
    client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    client.putrequest("PUT", "/specimen?uri=a.bin")
    client.putheader("User-Token", "alice")
    client.putheader("Content-Length", "3000000")
    client.endheaders()
    client.send(b"x" * 2_000_000)
    eventually(lambda: [name for name in daemon.waiting_files() if name.endswith(".part")])
    for pid in workers(daemon):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: daemon.waiting_files() == [])
    eventually(lambda: len(workers(daemon)) == 2)
    assert daemon.put("/specimen?uri=b.bin", b"1") == 204
    assert daemon.stop() == 0
    assert "the spool holds 0 bytes" in daemon.log.read_text()


def test_workers_know_no_secret_of_the_stores(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, workers=2)
    daemon._env["AWS_SECRET_ACCESS_KEY"] = daemon._env["LIGHTFILE6_AWS_SECRET_ACCESS_KEY"] = "planted-secret"
    daemon.start()
    for pid in workers(daemon):
        for name in ("environ", "cmdline"):
            assert b"planted" not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert daemon.stop() == 0


def test_workers_take_over_changed_limits_and_log_into_the_gateways_log(gateway: Make) -> None:
    daemon = gateway(workers=2, log={"level": "debug"}).start()
    assert daemon.put("/usage", b'"%s"' % (b"x" * 2000)) == 204
    config = yaml.safe_load(daemon.config.read_text())
    config["http"] = {"max_report": "1KiB"}
    daemon.config.write_text(json.dumps(config))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.put("/usage", b'"%s"' % (b"x" * 2000)) == 413)
    assert daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert {"PUT /usage 204", "PUT /usage 413"} <= {
        " ".join(one["message"].split()[:3]) for one in lines if "worker" in one
    }


def statuses(daemon: Gateway, token: str, address: str | None = None) -> set[int]:
    """What a token is answered over several connections, of which each worker has some.

    :param address: the client's; another one each time, if left out, so that no failures of before hold up answers.
    """
    found = set()
    clients = connections_to_all(daemon, 8)
    for client in clients:
        fields = {"User-Token": token, "X-Forwarded-For": address or f"203.0.113.{next(ADDRESSES) % 256}"}
        client.request("PUT", "/usage", b'{"n":1}', fields)
        answer = client.getresponse()
        answer.read()
        found.add(answer.status)
    for client in clients:
        client.close()
    return found


def test_each_worker_proves_tokens_and_follows_their_file(gateway: Make, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    alice = token_command("add", "alice", "--file", tokens)
    daemon = gateway(
        workers=2,
        aggregation=LONG,
        auth={"mode": "tokens", "tokens_file": str(tokens), "failure_delay": "10ms"},
        limits={"deny": ["198.51.100.0/24"]},
        http={"trusted_proxies": ["127.0.0.0/8"]},
    ).start()
    assert statuses(daemon, alice) == {204}
    assert statuses(daemon, "alice") == {401}
    assert statuses(daemon, alice, "198.51.100.7") == {403}
    bob = token_command("add", "bob", "--file", tokens)
    eventually(lambda: statuses(daemon, bob) == {204})
    token_command("revoke", "--user", "bob", "--file", tokens)
    eventually(lambda: statuses(daemon, bob) == {401})

    # What waits for a restart waits in a worker that takes another's place, too.
    config = yaml.safe_load(daemon.config.read_text())
    del config["auth"], config["limits"]
    daemon.config.write_text(json.dumps(config))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "a restart is needed for: auth.mode" in daemon.log.read_text())
    eventually(lambda: statuses(daemon, alice, "198.51.100.7") == {204})
    before = workers(daemon)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(found := workers(daemon)) == 2 and not set(found) & set(before))
    assert statuses(daemon, "alice") == {401}
    assert statuses(daemon, alice, "198.51.100.7") == {204}
    assert daemon.stop() == 0
    assert "the workers were ended" not in daemon.log.read_text()


def test_a_stop_of_workers_waits_for_no_answer_that_is_held_back(gateway: Make, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    token_command("add", "alice", "--file", tokens)
    daemon = gateway(
        workers=2,
        auth={"mode": "tokens", "tokens_file": str(tokens), "failure_delay": "1h"},  # which is 30 s, the most
        shutdown={"deadline": "15s"},
        log={"level": "debug"},
    ).start()
    [client] = connections_to_all(daemon, 1)
    client.request("PUT", "/usage", b"1", {"User-Token": "alice"})
    eventually(lambda: "the token is not accepted" in daemon.log.read_text())
    assert daemon.stop() == 0
    answer = client.getresponse()
    assert answer.status == 401
    assert "the workers were ended" not in daemon.log.read_text()


def test_each_worker_proves_signed_tokens(gateway: Make, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(issuer.keys(issuer.jwk("P-256", "two")))
    daemon = gateway(
        workers=2,
        auth={
            "mode": "jwt",
            "jwt_issuer": issuer.ISSUER,
            "jwt_audience": [issuer.AUDIENCE],
            "jwt_keys": str(keys),
            "failure_delay": "1ms",
        },
    ).start()
    assert statuses(daemon, issuer.signed("P-256", "two").decode()) == {204}
    assert statuses(daemon, issuer.signed("P-256", "two", aud="elsewhere").decode()) == {401}
    assert daemon.stop() == 0
