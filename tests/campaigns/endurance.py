"""A long run under load, with ``kill -9`` and dead S3, after which what was acknowledged must be what is in S3, each once.

    python -m tests.campaigns.endurance --minutes 15

Several clients send usage reports, error reports (single and in batches) and specimens of several users. A record counts as
acknowledged once its request was answered 204. One that got no answer is *unknown*: it may be there once or not at all. Some
requests carry an ``Idempotency-Key`` and are repeated until they are answered: those must be there exactly once."""

from __future__ import annotations

import argparse
import collections
import gzip
import http.client
import itertools
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.blackbox.gateway import Gateway, S3Server
from tests.campaigns.relay import Relay

USERS = ("alice", "bob", "carol")


@dataclass
class Sent:
    """What the clients know."""

    acknowledged: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    unknown: set[str] = field(default_factory=set)
    specimens: dict[str, bytes] = field(default_factory=dict)
    unknown_specimens: dict[str, bytes] = field(default_factory=dict)
    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    guard: threading.Lock = field(default_factory=threading.Lock)


class Client(threading.Thread):
    """One sender over a kept connection; its records are numbered."""

    def __init__(self, name: str, gateway: Gateway, sent: Sent, over: threading.Event, seed: int) -> None:
        super().__init__(daemon=True)
        self._name = name
        self._gateway = gateway
        self._sent = sent
        self._over = over
        self._chance = random.Random(seed)
        self._user = USERS[seed % len(USERS)]
        self._number = 0
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while not self._over.is_set():
            act = self._chance.random()
            if act < 0.03:
                self._specimen()
            else:
                self._records("usage" if act < 0.6 else "error", self._chance.choice((1, 1, 1, 1, 1, 1, 1, 50)))

    def _records(self, stream: str, count: int) -> None:
        ids = [f"{stream}:{self._name}:{self._number + offset}" for offset in range(count)]
        self._number += count
        padding = "x" * self._chance.randint(10, 300)
        body = "".join(json.dumps({"id": one, "padding": padding}) + "\n" for one in ids).encode()
        headers = {"Content-Type": "application/x-ndjson"} if count > 1 else {}
        repeat = self._chance.random() < 0.1
        if repeat:
            headers["Idempotency-Key"] = ids[0]
        if self._put(f"/{stream}", body, headers, repeat):
            with self._sent.guard:
                self._sent.acknowledged[f"{stream}:{self._name}"] += ids
        else:
            with self._sent.guard:
                self._sent.unknown.update(ids)

    def _specimen(self) -> None:
        name = f"{self._name}-{self._number}"
        self._number += 1
        body = self._chance.randbytes(self._chance.choice((100, 10_000, 300_000)))
        done = self._put(f"/specimen?uri=file:///{name}.bin", body, {}, False)
        with self._sent.guard:
            (self._sent.specimens if done else self._sent.unknown_specimens)[name] = body

    def _put(self, path: str, body: bytes, headers: dict[str, str], repeat: bool) -> bool:
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=30)
                self._connection.request("PUT", path, body, {"User-Token": self._user, **headers})
                answer = self._connection.getresponse()
                answer.read()
                status = str(answer.status)
            except (OSError, http.client.HTTPException):
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                status = "none"
            with self._sent.guard:
                self._sent.answers[status] += 1
            if status == "204":
                return True
            self._over.wait(0.05)
            if not repeat or self._over.is_set():
                return False


@contextmanager
def world(interval: str) -> Iterator[tuple[Gateway, S3Server, Relay]]:
    folder = Path(tempfile.mkdtemp(prefix="lf6gateway-endurance-"))
    s3 = S3Server(folder, "insights")
    relay = Relay(s3.port)
    streams = ("usage", "error", "specimen")
    gateway = Gateway(
        folder / "gateway",
        aws={"endpoint": f"http://127.0.0.1:{relay.port}", "access_key_id": "AK", "secret_access_key": "SK"},
        s3={f"{one}_bucket": "insights" for one in streams} | {f"{one}_prefix": one for one in streams},
        aggregation={"usage_interval": interval, "error_interval": interval},
        upload={"request_timeout": "5s", "retry_max": "5s"},
        shutdown={"deadline": "5m"},
    )
    try:
        yield gateway, s3, relay
    finally:
        gateway.clean_up()
        s3.stop()
        shutil.rmtree(folder, ignore_errors=True)


def compare(sent: Sent, objects: dict[str, bytes]) -> dict[str, int]:
    """Counts of what is wrong, and of what there is."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for key in sorted(objects):
        if key.endswith(".jsonl.gz"):
            for line in gzip.decompress(objects[key]).splitlines():
                stream, client, number = json.loads(line)["id"].split(":")
                found[f"{stream}:{client}"].append(f"{stream}:{client}:{number}")
    counts: collections.Counter[str] = collections.Counter(missing=0, doubled=0, disordered=0, foreign=0)
    for writer, ids in sent.acknowledged.items():
        there = found[writer]
        counts["acknowledged"] += len(ids)
        counts["missing"] += len(set(ids) - set(there))
        counts["foreign"] += len(set(there) - set(ids) - sent.unknown)
    for there in found.values():
        counts["found"] += len(there)
        counts["doubled"] += len(there) - len(set(there))
        numbers = [int(one.rpartition(":")[2]) for one in there]
        counts["disordered"] += sum(before > after for before, after in itertools.pairwise(numbers))
    counts["unknown"] = len(sent.unknown)
    bodies = collections.defaultdict(list)
    for key, body in objects.items():
        if key.startswith("specimen/"):
            bodies[key.rpartition("/")[2].split(".")[0]].append(body)
    counts["specimens acknowledged"] = len(sent.specimens)
    counts["specimens missing or other"] = sum(bodies.get(name) != [body] for name, body in sent.specimens.items())
    counts["specimens doubled"] = sum(len(found) > 1 for found in bodies.values())
    counts["objects"] = len(objects)
    return dict(counts)


def campaign(
    *, seconds: float, kill_every: float, outages: int, outage_s: float, interval: str, seed: int
) -> dict[str, int]:
    """Run, and compare."""
    over = threading.Event()
    sent = Sent()
    kills = 0
    with world(interval) as (gateway, s3, relay):
        gateway.start()
        clients = [Client(f"client{number}", gateway, sent, over, seed + number) for number in range(4)]
        for client in clients:
            client.start()
        begun = time.monotonic()
        dead = [((number + 1) * seconds / (outages + 1), outage_s) for number in range(outages)]
        next_kill = kill_every
        while (now := time.monotonic() - begun) < seconds:
            (relay.cut if any(start <= now < start + length for start, length in dead) else relay.join)()
            if now >= next_kill:
                gateway.kill()
                gateway.start()
                kills += 1
                next_kill += kill_every
            time.sleep(0.1)
        relay.join()
        over.set()
        for client in clients:
            client.join()
        status = gateway.stop(330)
        counts = compare(sent, s3.objects("insights"))
        counts |= {f"answers {status}": count for status, count in sent.answers.items()}
        left = gateway.waiting_files()
    return counts | {"kills": kills, "S3 outages": outages, "exit status": status, "left on disk": len(left)}


WRONG = (
    "missing",
    "doubled",
    "disordered",
    "foreign",
    "specimens missing or other",
    "specimens doubled",
    "exit status",
    "left on disk",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--kill-every", type=float, default=20.0, help="seconds between two kill -9")
    parser.add_argument("--outages", type=int, default=2, help="how often S3 is dead")
    parser.add_argument("--outage-seconds", type=float, default=30.0)
    parser.add_argument("--interval", default="5s")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    counts = campaign(
        seconds=chosen.minutes * 60,
        kill_every=chosen.kill_every,
        outages=chosen.outages,
        outage_s=chosen.outage_seconds,
        interval=chosen.interval,
        seed=chosen.seed,
    )
    for name, count in counts.items():
        print(f"{name:>28}  {count:>10,}{'   WRONG' if name in WRONG and count else ''}")
    print(json.dumps(counts))
    sys.exit(1 if any(counts[name] for name in WRONG) else 0)


if __name__ == "__main__":
    main()
