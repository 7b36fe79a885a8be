"""Thousands of connections that do nothing and some hundred that do harm, beside one client that behaves: all that this
one sends must be answered with 204, and nothing may be left behind.

    python -m tests.campaigns.hostile --idle 20000 --abusive 200 --minutes 3 [--workers 2]

The idle ones are held by processes of their own, and so are those that do harm. ``http.max_connections`` is set to hold
all of them, where the limit of open files (``ulimit -Hn``) lets the gateway have so many; where not, the gateway says
in its log how many it holds, and the oldest idle ones make way."""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import http.client
import json
import os
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.blackbox.gateway import Gateway, eventually, records
from tests.hostile.catalogue import CASES

HOLDER = 8_000
"""Connections of one holding process."""
AGAIN = 5
"""Connections that such a process opens again in a second, of those that were closed on it."""
TRICKLE = 0.5
PATIENCE = 120.0
"""Seconds that the client that behaves waits, for the sake of machines that have other things to do."""


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return client


# Processes of their own.


def hold(port: int, count: int) -> None:
    """Open so many connections, open those again that were closed, and send nothing."""
    import select

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poll = select.epoll()
    held: dict[int, socket.socket] = {}

    def one() -> None:
        with contextlib.suppress(OSError):
            client = socket.create_connection(("127.0.0.1", port), timeout=20)
            held[client.fileno()] = client
            poll.register(client.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    for _ in range(count):
        one()
    print(f"held {len(held)}", flush=True)
    again = 0
    while True:
        gone = poll.poll(1.0)
        if sys.stdin.closed or os.getppid() == 1:
            return
        for descriptor, _ in gone:
            poll.unregister(descriptor)
            held.pop(descriptor).close()
            again += 1
        for _ in gone[:AGAIN]:
            one()
        time.sleep(1)


def _slow_head(port: int, over: threading.Event, chance: random.Random) -> None:
    with connect(port) as client:
        for byte in b"PUT /usage HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200:
            client.send(bytes([byte]))
            if over.wait(TRICKLE):
                return


def _stalled_report(port: int, over: threading.Event, chance: random.Random) -> None:
    with connect(port) as client:
        head = b"PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: mallory\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(head + b" " * 990_000)
        while not over.wait(TRICKLE):
            client.send(b" " * 40)


def _slow_specimen(port: int, over: threading.Event, chance: random.Random) -> None:
    with connect(port) as client:
        client.sendall(
            b"PUT /specimen?uri=a HTTP/1.1\r\nHost: a\r\nUser-Token: mallory\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while not over.wait(TRICKLE):
            client.send(b"20\r\n" + b"x" * 32 + b"\r\n")


def _slow_reader(port: int, over: threading.Event, chance: random.Random) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", port))
        client.settimeout(5)
        with contextlib.suppress(TimeoutError):
            client.sendall(b"GET / HTTP/1.1\r\nHost:a\r\n\r\n" * 20_000)
        over.wait(20)


def _aborted(port: int, over: threading.Event, chance: random.Random) -> None:
    for _ in range(50):
        with connect(port) as client:
            client.sendall(
                b"PUT /specimen?uri=a HTTP/1.1\r\nHost: a\r\nUser-Token: mallory\r\nContent-Length: 500000\r\n\r\n"
                + bytes(chance.choice((0, 10, 70_000, 400_000)))
            )
        if over.wait(0.05):
            return


def _half_open(port: int, over: threading.Event, chance: random.Random) -> None:
    with connect(port) as client:
        client.sendall(b"PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: mallory\r\nContent-Length: 10\r\n\r\n12345")
        client.shutdown(socket.SHUT_WR)
        over.wait(5)


def _catalogue(port: int, over: threading.Event, chance: random.Random) -> None:
    for _ in range(20):
        with connect(port) as client:
            client.sendall(chance.choice([case for case in CASES if not case.kept]).sent)
            client.settimeout(2)
            with contextlib.suppress(TimeoutError):
                client.recv(65_536)
        if over.wait(0.05):
            return


def _bomb(port: int, over: threading.Event, chance: random.Random) -> None:
    data = gzip.compress(bytes(4 << 20))
    with connect(port) as client:
        client.sendall(
            b"PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: mallory\r\nContent-Encoding: gzip\r\nContent-Length: "
            + b"%d\r\n\r\n" % len(data)
            + data
        )
        client.recv(65_536)
    over.wait(0.2)


HARM: list[Callable[[int, threading.Event, random.Random], None]] = [
    _slow_head, _stalled_report, _slow_specimen, _slow_reader, _aborted, _half_open, _catalogue, _bomb,
]  # fmt: skip


def harm(port: int, count: int, only: str = "") -> None:
    """Do harm on so many connections at a time, until standard input ends."""
    kinds = [act for act in HARM if only in act.__name__]
    over = threading.Event()
    rounds: collections.Counter[str] = collections.Counter()

    def loop(number: int) -> None:
        chance = random.Random(number)
        act = kinds[number % len(kinds)]
        while not over.is_set():
            with contextlib.suppress(OSError):
                act(port, over, chance)
            rounds[act.__name__.strip("_")] += 1
            over.wait(0.05)

    threads = [threading.Thread(target=loop, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    print("harm", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join(10)
    print(json.dumps(rounds), flush=True)


@contextlib.contextmanager
def other(what: str, port: int, count: int, only: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.campaigns.hostile", f"--{what}", str(count), "--port", str(port)]
    command += ["--only", only] if only else []
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# The client that behaves.


def behave(port: int, seconds: float, pause: float) -> tuple[collections.Counter[str], list[float]]:
    """PUTs in turn on a connection that is kept and on one of its own; what was answered, and after how long."""
    answers: collections.Counter[str] = collections.Counter()
    spans = []
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        own = number % 2 == 1
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) if own else kept
        begun = time.monotonic()
        try:
            client.request("PUT", "/usage", b'{"n":%d}' % number, {"User-Token": "alice"})
            answer = client.getresponse()
            answer.read()
            answers[str(answer.status)] += 1
            if answer.status == 204:
                number += 1
        except (OSError, http.client.HTTPException) as error:
            answers[f"{type(error).__name__} ({'own' if own else 'kept'})"] += 1
        spans.append(time.monotonic() - begun)
        if own:
            client.close()
        time.sleep(pause)
    kept.close()
    answers["numbers"] = number
    return answers, sorted(spans)


def _family(process: subprocess.Popen[bytes]) -> list[int]:
    """The gateway and its workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


def _status(process: subprocess.Popen[bytes], name: str) -> int:
    """Of whichever of its processes has most."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in _family(process)]
    return max(int(re.findall(rf"{name}:\s+(\d+)", text)[0]) for text in texts)


def _cpu(process: subprocess.Popen[bytes]) -> float:
    ticks = 0
    for pid in _family(process):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _descriptors(process: subprocess.Popen[bytes]) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in _family(process))


def campaign(
    *,
    idle: int,
    abusive: int,
    seconds: float,
    pause: float = 0.05,
    config: Mapping[str, Any] | None = None,
    only: str = "",
) -> dict[str, Any]:
    """Run, and tell what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="lf6gateway-hostile-"))
    # Workers take what comes as they can, so any of them may come to hold far more than its share.
    most = (idle + 2 * abusive + 100) * int((config or {}).get("workers", 1))
    http = {"max_connections": most, "idle_timeout": "10m"}
    settings = {**(config or {}), "http": http | dict((config or {}).get("http", {}))}
    gateway = Gateway(folder / "gateway", storage={"directory": str(folder / "objects")}, **settings)
    try:
        gateway.start()
        process = gateway.process
        assert process is not None
        assert gateway.put("/usage", b'{"n":-1}') == 204
        descriptors, memory = _descriptors(process), _status(process, "VmRSS")
        with contextlib.ExitStack() as others:
            begun = time.monotonic()
            counts = [min(HOLDER, idle - start) for start in range(0, idle, HOLDER)]
            holders = [others.enter_context(other("hold", gateway.port, count)) for count in counts]
            for holder in holders:
                assert holder.stdout is not None and holder.stdout.readline().startswith("held")
            figures: dict[str, Any] = {
                "idle opened": idle,
                "seconds to open": round(time.monotonic() - begun, 1),
                "descriptors with all idle": _descriptors(process),
                "memory with all idle, MiB": _status(process, "VmRSS") // 1024,
            }
            harming = others.enter_context(other("harm", gateway.port, abusive, only))
            assert harming.stdout is not None and harming.stdin is not None
            assert harming.stdout.readline() == "harm\n"
            begun_harm, cpu = time.monotonic(), _cpu(process)
            answers, spans = behave(gateway.port, seconds, pause)
            figures["descriptors at the end"] = _descriptors(process)
            spent = time.monotonic() - begun_harm
            figures["share of a core"] = round((_cpu(process) - cpu) / spent, 2)
            harming.stdin.close()
            figures["harm done"] = json.loads(harming.stdout.readline())
        number = answers.pop("numbers")
        figures |= {
            "answers": dict(answers),
            "ms, half of them": round(spans[len(spans) // 2] * 1000),
            "ms, 99 of 100": round(spans[len(spans) * 99 // 100] * 1000),
            "ms, the slowest": round(spans[-1] * 1000),
            "peak memory, MiB": _status(process, "VmHWM") // 1024,
            "memory before, MiB": memory // 1024,
        }
        eventually(lambda: _descriptors(process) <= descriptors + 20, 240)
        figures["descriptors before and after"] = [descriptors, _descriptors(process)]
        eventually(lambda: not list(gateway.cache.rglob("*.part")), 120)
        figures["exit status"] = gateway.stop()
        figures["left on disk"] = gateway.waiting_files()
        objects = {
            str(path.relative_to(folder / "objects")): path.read_bytes()
            for path in (folder / "objects").rglob("*")
            if path.is_file() and ".meta" not in path.parts
        }
        kept = [one["n"] for one in records(objects, "usage/") if isinstance(one, dict) and "n" in one]
        figures["records lost, doubled or out of order"] = int(kept != [-1, *range(number)])
        log = gateway.log.read_text()
        figures["tracebacks"] = log.count("Traceback")
        figures["held at most"] = re.findall(r"(\d+) connections are held", log)[:1]
        return figures
    finally:
        gateway.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


def wrong(figures: Mapping[str, Any]) -> list[str]:
    """What must not have come of it."""
    faults = [name for name in figures["answers"] if name != "204"]
    faults += [
        name
        for name in ("exit status", "left on disk", "records lost, doubled or out of order", "tracebacks")
        if figures[name]
    ]
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=20_000)
    parser.add_argument("--abusive", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=1, help="the limit of open files holds for each of them")
    parser.add_argument("--only", default="", help="do only the harm that has this in its name")
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--harm", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.hold is not None:
        hold(chosen.port, chosen.hold)
    elif chosen.harm is not None:
        harm(chosen.port, chosen.harm, chosen.only)
    else:
        figures = campaign(
            idle=chosen.idle,
            abusive=chosen.abusive,
            seconds=chosen.minutes * 60,
            config={"workers": chosen.workers},
            only=chosen.only,
        )
        for name, value in figures.items():
            print(f"{name:>40}  {value}")
        faults = wrong(figures)
        print("WRONG: " + ", ".join(faults) if faults else "all well")
        sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
