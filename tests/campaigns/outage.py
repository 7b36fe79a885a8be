"""S3 is away for a simulated week while records and specimens come in and the gateway is killed again and again; then
it comes back, and everything must arrive, each once, while new data go on arriving soon.

    python -m tests.campaigns.outage --records 10000000 --specimens 100000 --days 7

The gateway is a process of its own (``outage_process.py``) with a clock that the campaign sets; half of all data come
in one hour of the week, the storm. ``--store s3`` ships to moto's S3 server behind a relay that cuts every connection,
``--store directory`` to a folder that answers nothing but errors.

What must not come back: aws-for-fluent-bit 882 (stuck for good behind what had gathered), fluent-bit 11987 (objects
overwritten after a restart), vector 20118 (data doubled after a restart)."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import http.client
import json
import os
import queue
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.blackbox.gateway import S3Server
from tests.campaigns.relay import Relay

HOUR_NS = 3_600_000_000_000
MIB = 1024 * 1024
TICKS = 6
BATCH = 5000
SENDERS = 6
KEPT_S = 20.0
"""Seconds after which a connection is not used again: the gateway ends it when it has been idle for long."""
SEAL_S = 2.0
"""Seconds between two seals while the backlog is shipped; stands for the interval."""
FIRST_ROUND_S = 75.0
"""After so many seconds a process has been through all it does once a minute."""
SETTLED_S = 15.0
"""After so many seconds a process has made its threads and connections."""
_LINE = b'{"n":%d,"version":"6.1.0","os":"linux","files":12,"message":"%s"}\n'
_NUMBER = re.compile(rb'^\{"n":(\d+),', re.MULTILINE)
_SALT = [hashlib.sha256(b"%d" % number).hexdigest()[:24].encode() for number in range(4096)]


def lines(first: int, count: int) -> bytes:
    return b"".join(_LINE % (number, _SALT[number * 7919 & 4095]) for number in range(first, first + count))


def specimen(number: int) -> bytes:
    size = 6 * MIB if number % 5000 == 4999 else 3 * MIB // 2 if number % 500 == 499 else 500 + number % 3000
    return random.Random(number).randbytes(size)


class Child:
    """One life of the gateway's process."""

    def __init__(self, config: Path, clock: Path, log: Path) -> None:
        self.begun = time.monotonic()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.puts: queue.Queue[dict[str, Any]] = queue.Queue()
        with log.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.campaigns.outage_process", str(config), str(clock)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
            )
        threading.Thread(target=self._read, daemon=True).start()
        self.ready = self.answer()
        self.port = int(self.ready["ready"])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"@"):
                found = json.loads(line[1:])
                (self.puts if "put" in found else self.answers).put(found)
        self.answers.put({"ended": True})

    def answer(self, seconds: float = 600.0) -> dict[str, Any]:
        found = self.answers.get(timeout=seconds)
        if "ended" in found:
            raise RuntimeError("the gateway's process has ended")
        return found

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def status(self, name: str) -> float:
        """A line of ``/proc/<pid>/status``, in MiB."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(rf"{name}:\s+(\d+) kB", text)
        return int(found[1]) / 1024 if found else 0.0

    def descriptors(self) -> int:
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except OSError:
            return 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Acknowledged:
    """What was answered 204: ranges of records by stream and hour in order, and specimens."""

    records: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    specimens: set[int] = field(default_factory=set)
    count: int = 0
    repeated: int = 0


class Sender:
    """Requests over kept connections, one a thread."""

    def __init__(self) -> None:
        self.port = 0
        self._local = threading.local()

    def put(self, path: str, body: bytes, **headers: str) -> float:
        """Send, and see it acknowledged; the seconds that took."""
        begun = time.monotonic()
        connection = getattr(self._local, "connection", None)
        old = connection is None or self._local.port != self.port or begun - self._local.used > KEPT_S
        if old:
            if connection is not None:
                connection.close()
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            self._local.port = self.port
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("PUT", path, body, {"User-Token": "alice", **named})
        answer = connection.getresponse()
        text = answer.read()
        self._local.used = time.monotonic()
        if answer.status != 204:
            raise RuntimeError(f"{path} was answered {answer.status}: {text[:300]!r}")
        return time.monotonic() - begun


class Campaign:
    """See the module."""

    def __init__(self, folder: Path, *, store: str, records: int, specimens: int, hours: int, say: bool) -> None:
        self._folder = folder
        self._hours = hours
        self._records = records
        self._specimens = specimens
        self._say = say
        self._clock = folder / "clock"
        self._down = folder / "clock.down"
        self._ahead = -hours * HOUR_NS
        self._set_clock()
        self._sender = Sender()
        self._pool = ThreadPoolExecutor(SENDERS)
        self._next = 0
        self._next_specimen = 0
        self.acknowledged = Acknowledged()
        self.facts: dict[str, Any] = {}
        self._peak: dict[str, float] = defaultdict(float)
        self._most_open = 0
        self._child: Child | None = None
        self._phase = "outage"
        self._over = threading.Event()
        self._s3: S3Server | None = None
        self._relay: Relay | None = None
        settings: dict[str, Any] = {
            "cache_dir": str(folder / "cache"),
            "hostname": "test.host",
            "aggregation": {"usage_interval": "24h", "error_interval": "24h"},
            "upload": {"retry_max": "5s"},
            "shutdown": {"deadline": "5m"},
        }
        if store == "s3":
            self._s3 = S3Server(folder, "insights")
            self._relay = Relay(self._s3.port)
            settings["aws"] = {"endpoint": self._relay.url, "access_key_id": "AK", "secret_access_key": "SK"}
            settings["s3"] = {f"{one}_bucket": "insights" for one in ("usage", "error", "specimen")}
            settings["s3"] |= {f"{one}_prefix": one for one in ("usage", "error", "specimen")}
        else:
            settings["storage"] = {"directory": str(folder / "objects")}
        self._config = folder / "config.yml"
        self._config.write_text(yaml.safe_dump(settings))
        self._take_away()
        threading.Thread(target=self._sample, daemon=True).start()

    def run(self, *, restarts: int, starts: int, wait_s: float, kills: int) -> dict[str, Any]:
        """All phases; what was measured and what is wrong."""
        self._start()
        self._outage(restarts)
        self._waiting(starts, wait_s)
        self._drain(kills)
        self._stop()
        self._verify()
        for phase, peak in self._peak.items():
            self.facts[f"peak RSS, {phase} (MiB)"] = round(peak, 1)
        self.facts["most open descriptors"] = self._most_open
        return self.facts

    def clean_up(self) -> None:
        self._over.set()
        if self._child is not None and self._child.process.poll() is None:
            self._child.kill()
        self._pool.shutdown()
        if self._s3 is not None:
            self._s3.stop()

    # The world.

    def _set_clock(self) -> None:
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(self._ahead.to_bytes(8, "little", signed=True))

    def _now_hour(self) -> int:
        return (time.time_ns() + self._ahead) // HOUR_NS

    def _take_away(self) -> None:
        self._down.touch()
        if self._relay is not None:
            self._relay.cut()

    def _give_back(self) -> None:
        self._down.unlink()
        if self._relay is not None:
            self._relay.join()

    def _sample(self) -> None:
        while not self._over.wait(0.2):
            child = self._child
            if child is not None:
                self._peak[self._phase] = max(self._peak[self._phase], child.status("VmRSS"))
                self._most_open = max(self._most_open, child.descriptors())

    def _start(self) -> Child:
        self._child = child = Child(self._config, self._clock, self._folder / "log")
        self._sender.port = child.port
        return child

    def _kill(self) -> None:
        assert self._child is not None
        self._child.kill()

    def _tell(self, text: str) -> None:
        if self._say:
            print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    # What is sent.

    def _send_records(self, stream: str, count: int) -> None:
        """Some records of one stream, in order; all of them in one hour."""
        while count > 0:
            taken = min(count, BATCH)
            first, self._next = self._next, self._next + taken
            body = lines(first, taken)
            headers = {"Content_Type": "application/x-ndjson"}
            if first // BATCH % 10 == 0:
                headers["Idempotency_Key"] = f"batch-{first}"
            hour = self._now_hour()
            self._sender.put(f"/{stream}", body, **headers)
            if "Idempotency_Key" in headers:
                self._sender.put(f"/{stream}", body, **headers)
                self.acknowledged.repeated += 1
            if self._now_hour() != hour:
                raise RuntimeError("the hour turned in the middle of a request; run again")
            self.acknowledged.records[stream, hour].append((first, first + taken))
            self.acknowledged.count += taken
            count -= taken

    def _send_specimen(self, number: int) -> float:
        headers = {"Idempotency_Key": f"specimen-{number}"} if number % 10 == 0 else {}
        seconds = self._sender.put(f"/specimen?uri=file:///s{number}.bin", specimen(number), **headers)
        self.acknowledged.specimens.add(number)
        return seconds

    # The phases.

    def _outage(self, restarts: int) -> None:
        storm = self._hours // 3
        per_hour = self._records // 2 // self._hours
        specimens_per_hour = self._specimens // 2 // self._hours
        restart_at = {round((number + 1) * self._hours / (restarts + 1)) for number in range(restarts)}
        starts: list[float] = []
        sent_s = 0.0
        for hour in range(self._hours):
            records, specimens = per_hour, specimens_per_hour
            if hour == storm:
                records += self._records - self._hours * per_hour
                specimens += self._specimens - self._hours * specimens_per_hour
            begun = time.monotonic()
            # Away from an hour's turn, so that it is known which hour a record belongs to.
            into = (time.time_ns() + self._ahead) % HOUR_NS
            self._ahead += 60_000_000_000 - into
            self._set_clock()
            for tick in range(TICKS):
                part = records * (tick + 1) // TICKS - records * tick // TICKS
                self._send_records("usage", part - part // 4)
                self._send_records("error", part // 4)
                number = specimens * (tick + 1) // TICKS - specimens * tick // TICKS
                batch = range(self._next_specimen, self._next_specimen + number)
                self._next_specimen += number
                for work in [self._pool.submit(self._send_specimen, one) for one in batch]:
                    work.result()
                self.child.ask("seal")
            sent_s += time.monotonic() - begun
            if hour in restart_at:
                self._kill()
                child = self._start()
                self._send_records("usage", 1)
                starts.append(time.monotonic() - child.begun)
                self._tell(f"hour {hour}: killed, started in {starts[-1]:.2f} s, {self.acknowledged.count:,} records")
            elif hour % 24 == 23:
                self._tell(f"hour {hour}: {self.acknowledged.count:,} records, {self._next_specimen:,} specimens")
            self._ahead += HOUR_NS
        self._set_clock()
        self.facts["restarts in the outage"] = len(starts)
        self.facts["records acknowledged"] = self.acknowledged.count
        self.facts["specimens acknowledged"] = len(self.acknowledged.specimens)
        self.facts["intake during the outage (s)"] = round(sent_s, 1)
        if starts:
            self.facts["start during the outage, slowest (s)"] = round(max(starts), 2)

    def _waiting(self, rounds: int, wait_s: float) -> None:
        """Everything waits: what a start costs, and what waiting costs."""
        self._phase = "all waiting"
        starts: list[float] = []
        size = sum(path.stat().st_size for path in (self._folder / "cache").rglob("*") if path.is_file())
        for _ in range(rounds):
            self._kill()
            child = self._start()
            self._send_records("usage", 1)
            starts.append(time.monotonic() - child.begun)
        ready = self.child.ready
        self.facts["waiting on disk (MiB)"] = round(size / MIB, 1)
        self.facts["files waiting"] = sum(len(files) for _, _, files in os.walk(self._folder / "cache"))
        self.facts["start with all waiting (s, median)"] = round(statistics.median(starts), 2)
        self.facts["read before ready (bytes of all files)"] = ready["read"]
        self.facts["names listed before ready"] = ready["counts"].get("entries before ready", 0)
        self.facts["files opened before ready"] = ready["counts"].get("opens before ready", 0)
        if wait_s:
            time.sleep(FIRST_ROUND_S)  # what is looked through once after a start is not what waiting costs
        before = self.child.ask("facts")["counts"]
        time.sleep(wait_s)
        after = self.child.ask("facts")["counts"]
        self.facts["seconds of waiting watched"] = wait_s
        for name in ("entries", "listings", "opens"):
            self.facts[f"{name} while waiting"] = after.get(name, 0) - before.get(name, 0)
        self.facts["steady RSS, all waiting (MiB)"] = round(self.child.status("VmRSS"), 1)
        self._tell(f"all waiting: {self.facts}")

    def _drain(self, kills: int) -> None:
        """The store is back: the backlog goes, and new data with it."""
        self._phase = "shipping the backlog"
        begun = time.monotonic()
        self._give_back()
        waiting = len(self.acknowledged.specimens)
        kill_at = [waiting * (number + 1) // (kills + 1) for number in range(kills)]
        new_specimens: dict[str, float] = {}
        ages: dict[str, list[float]] = {"specimens": [], "records": []}
        acks: list[float] = []
        unsealed: list[float] = []
        sealed: list[tuple[float, list[float]]] = []  # when the seal was asked for, and what was sent before it
        total = Counter[str]()
        left_at = {"specimens": 0.0, "records": 0.0}
        work: Counter[str] = Counter()
        next_seal = 0.0
        shipped = 0
        settled = 0.0
        while True:
            facts = self.child.ask("facts")
            while True:
                try:
                    put = self.child.puts.get_nowait()
                except queue.Empty:
                    break
                key, ended = put["put"], put["ended"]
                total["bytes"] += put["bytes"]
                if key.endswith(".gz"):
                    total["objects"] += 1
                    left_at["records"] = time.monotonic() - begun
                    for asked, sent in sealed:
                        if put["newest"] >= asked and key.startswith("usage/"):
                            ages["records"] += [ended - one for one in sent]
                            sent.clear()
                else:
                    shipped += 1
                    left_at["specimens"] = time.monotonic() - begun
                    sent_at = new_specimens.pop(key.rpartition("/")[2].split(".")[0], None)
                    if sent_at is not None:
                        ages["specimens"].append(ended - sent_at)
            files = self._waiting_files() if shipped >= waiting * 0.98 else 1
            if kill_at and shipped >= kill_at[0]:
                kill_at.pop(0)
                work += Counter(facts["counts"])
                # What was told before the kill is told; a write whose answer was on its way may not be.
                self._kill()
                self._start()
                settled = 0.0
                self._tell(f"killed while shipping, after {shipped:,} specimens")
            if not files and not facts["members"] and not facts["unsealed"]:
                break
            if time.monotonic() - begun > 3600:
                raise RuntimeError(f"it is stuck: {facts}")
            acks.append(self._put_new(new_specimens, unsealed))
            if time.monotonic() >= next_seal and files:
                next_seal = time.monotonic() + SEAL_S
                asked, sent = time.time(), unsealed[:]
                unsealed.clear()
                self.child.ask("seal")
                sealed.append((asked, sent))
                sealed = [one for one in sealed if one[1]]
            if not settled and time.monotonic() - self.child.begun > SETTLED_S:
                settled = self.child.status("VmRSS")
            self._tell_now(shipped, facts, begun)
            time.sleep(0.25)
        seconds = time.monotonic() - begun
        work += Counter(self.child.ask("facts")["counts"])
        # Members of an hour that is not over may stay; they are counted, and nothing else is.
        kept = sum(path.stat().st_size for path in (self._folder / "cache" / "spool").rglob("*.gz"))
        self.facts["bytes counted though nothing waits"] = self.child.ask("facts")["used"] - kept
        an_hour_ago = time.time_ns() + self._ahead - HOUR_NS
        keys = (self._folder / "cache" / "spool" / "specimen").rglob("*.key")
        self.facts["keys of specimens kept too long"] = sum(int(path.name[:20]) < an_hour_ago for path in keys)
        if settled:
            growth = self.child.status("VmRSS") - settled
            self.facts["RSS grown while shipping, in the last life (MiB)"] = round(growth, 1)
        self.facts["kills while shipping"] = kills
        self.facts["backlog shipped in (s)"] = round(seconds, 1)
        self.facts["specimens shipped a second"] = round(shipped / max(0.1, left_at["specimens"]), 1)
        self.facts["records shipped a second"] = round(self.acknowledged.count / max(0.1, left_at["records"]))
        self.facts["hours' objects written"] = total["objects"]
        self.facts["MiB shipped"] = round(total["bytes"] / MIB, 1)
        self.facts["PUT answered while shipping, median (s)"] = round(statistics.median(acks), 4)
        self.facts["PUT answered while shipping, slowest (s)"] = round(max(acks), 3)
        for what, found in ages.items():
            self.facts[f"new {what} told as shipped"] = len(found)
            self.facts[f"new {what}, median age when shipped (s)"] = round(statistics.median(found or [0.0]), 2)
            self.facts[f"new {what}, greatest age when shipped (s)"] = round(max(found or [0.0]), 2)
        for name in ("entries", "listings", "opens"):
            self.facts[f"{name} per specimen shipped"] = round(work[name] / max(1, shipped), 2)

    _told = 0.0

    def _tell_now(self, shipped: int, facts: dict[str, Any], begun: float) -> None:
        if time.monotonic() - self._told > 15:
            self._told = time.monotonic()
            rss = self.child.status("VmRSS")
            left = f"{facts['members']} members, {facts['used'] / MIB:.0f} MiB wait"
            self._tell(f"{time.monotonic() - begun:.0f} s: {shipped:,} specimens shipped, {left}, RSS {rss:.1f} MiB")

    def _put_new(self, new_specimens: dict[str, float], unsealed: list[float]) -> float:
        """A few new data; the slowest answer."""
        if self._now_hour() != (time.time_ns() + self._ahead + 30_000_000_000) // HOUR_NS:
            self._ahead += 60_000_000_000
            self._set_clock()
        begun = time.monotonic()
        self._send_records("usage", 20)
        unsealed.append(time.time())
        first = time.monotonic() - begun
        number = self._next_specimen = self._next_specimen + 1
        second = self._send_specimen(number)
        new_specimens[f"s{number}"] = time.time()
        return max(first, second)

    def _waiting_files(self) -> int:
        endings = (".seg", ".spec", ".part")
        return sum(
            name.endswith(endings) for _, _, files in os.walk(self._folder / "cache" / "spool") for name in files
        )

    def _stop(self) -> None:
        self.facts["peak RSS of the last process (VmHWM, MiB)"] = round(self.child.status("VmHWM"), 1)
        self.child.process.terminate()
        self.facts["exit status"] = self.child.process.wait(330)
        endings = (".seg", ".gz", ".spec", ".part", ".tmp")
        left = [path for path in (self._folder / "cache").rglob("*") if path.name.endswith(endings) and path.is_file()]
        self.facts["left on disk"] = len(left)

    # What arrived.

    def _verify(self) -> None:
        wrong: Counter[str] = Counter({"missing": 0, "doubled": 0, "disordered or in a wrong hour": 0})
        found = 0
        seen: Counter[int] = Counter()
        expected = {}
        for (stream, hour), ranges in self.acknowledged.records.items():
            name = time.strftime("%Y%m%d%H", time.gmtime(hour * 3600))
            expected[f"{stream}/{name[:4]}/{name[4:6]}/{name[6:8]}/{name[8:]}/{name}.test-host.jsonl.gz"] = ranges
        for key, size, digest, data in self._objects():
            if key.endswith(".jsonl.gz"):
                assert data is not None
                numbers = list(map(int, _NUMBER.findall(gzip.decompress(data))))
                wanted = [number for first, end in expected.pop(key, []) for number in range(first, end)]
                found += len(numbers)
                if numbers != wanted:
                    wrong["missing"] += len(set(wanted) - set(numbers))
                    wrong["doubled"] += len(numbers) - len(set(numbers))
                    wrong["disordered or in a wrong hour"] += 1
            else:
                number = int(key.rpartition("/")[2].split(".")[0][1:])
                seen[number] += 1
                body = specimen(number)
                if len(body) != size or hashlib.md5(body).hexdigest() != digest:
                    wrong["specimens with other bytes"] += 1
        wrong["missing"] += sum(end - first for ranges in expected.values() for first, end in ranges)
        self.facts["records found"] = found
        self.facts["specimens found"] = len(seen)
        self.facts["records missing"] = wrong["missing"]
        self.facts["records doubled"] = wrong["doubled"]
        self.facts["hours disordered"] = wrong["disordered or in a wrong hour"]
        self.facts["specimens missing"] = len(self.acknowledged.specimens - set(seen))
        self.facts["specimens doubled"] = sum(count > 1 for count in seen.values())
        self.facts["specimens with other bytes"] = wrong["specimens with other bytes"]

    def _objects(self) -> Iterator[tuple[str, int, str, bytes | None]]:
        """Key, size, MD5 and, of records, the bytes of each object."""
        if self._s3 is None:
            top = self._folder / "objects"
            self.facts["half-written files in the folder"] = 0
            for folder, folders, files in os.walk(top):
                folders[:] = [name for name in folders if name != ".meta"]
                for name in files:
                    if name.startswith("."):  # never an object: a write that a kill cut short
                        self.facts["half-written files in the folder"] += 1
                        continue
                    data = Path(folder, name).read_bytes()
                    key = os.path.relpath(os.path.join(folder, name), top)
                    yield key, len(data), hashlib.md5(data).hexdigest(), data
            return
        client = self._s3.client
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="insights"):
            for one in page.get("Contents", []):
                key = one["Key"]
                if "_lf6gateway/" in key:
                    continue
                data = client.get_object(Bucket="insights", Key=key)["Body"].read() if key.endswith(".gz") else None
                yield key, one["Size"], one["ETag"].strip('"'), data


WRONG = (
    "records missing",
    "records doubled",
    "hours disordered",
    "specimens missing",
    "specimens doubled",
    "specimens with other bytes",
    "exit status",
    "left on disk",
    "bytes counted though nothing waits",
    "keys of specimens kept too long",
)


def campaign(
    *,
    store: str,
    records: int,
    specimens: int,
    hours: int,
    restarts: int,
    starts: int,
    wait_s: float,
    kills: int,
    say: bool = False,
    keep: bool = False,
) -> dict[str, Any]:
    """Run it in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="lf6gateway-outage-"))
    made = Campaign(folder, store=store, records=records, specimens=specimens, hours=hours, say=say)
    try:
        return made.run(restarts=restarts, starts=starts, wait_s=wait_s, kills=kills)
    except BaseException:
        print((folder / "log").read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        made.clean_up()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--specimens", type=int, default=100_000)
    parser.add_argument("--days", type=float, default=7.0, help="simulated days of the outage")
    parser.add_argument("--restarts", type=int, default=12, help="kill -9 during the outage")
    parser.add_argument("--starts", type=int, default=3, help="starts that are timed while everything waits")
    parser.add_argument("--wait", type=float, default=130.0, help="seconds to watch the cost of waiting")
    parser.add_argument("--kills", type=int, default=2, help="kill -9 while the backlog is shipped")
    parser.add_argument("--store", choices=("s3", "directory"), default="directory")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    chosen = parser.parse_args()
    facts = campaign(
        store=chosen.store,
        records=chosen.records,
        specimens=chosen.specimens,
        hours=max(3, round(chosen.days * 24)),
        restarts=chosen.restarts,
        starts=chosen.starts,
        wait_s=chosen.wait,
        kills=chosen.kills,
        say=True,
        keep=chosen.keep,
    )
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int | float) else str(value)
        print(f"{name:>48}  {shown:>14}{'   WRONG' if name in WRONG and value else ''}")
    print(json.dumps(facts))
    sys.exit(1 if any(facts[name] for name in WRONG) else 0)


if __name__ == "__main__":
    main()
