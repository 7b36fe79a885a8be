"""The whole way once, to look at: starts the gateway on a folder, sends reports and a specimen as real clients do,
stops it, and shows the objects that came of it. Owns what is sent and whether the same is stored; must never send
anything to a gateway that it did not start."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any, Final

USERS: Final = ("alice", "bob", "carol", "dave")
VERSIONS: Final = ("6.0.4", "6.1.0", "6.1.1")
ERRORS: Final = ("cannot decode chunk IDAT", "out of memory at 8192x8192", "unknown colour profile")
_START_S: Final = 30.0
_STOP_S: Final = 60.0


class DemoFailed(Exception):
    """The gateway did not do what it should; the text says what."""


def usage_report(user: str, number: int) -> dict[str, object]:
    """What a program that optimises pictures tells of a run."""
    before = random.randint(20_000, 4_000_000)
    return {
        "id": f"usage-{user}-{number}",
        "version": random.choice(VERSIONS),
        "os": random.choice(("windows", "macos", "linux")),
        "files": random.randint(1, 500),
        "bytes_before": before,
        "bytes_after": int(before * random.uniform(0.3, 0.9)),
        "seconds": round(random.uniform(0.1, 90.0), 2),
    }


def error_report(user: str, number: int) -> dict[str, object]:
    """What it tells of a file that went wrong."""
    return {
        "id": f"error-{user}-{number}",
        "version": random.choice(VERSIONS),
        "message": random.choice(ERRORS),
        "file": f"C:\\Users\\{user}\\Pictures\\IMG_{number:04d}.png",
    }


def png(width: int = 64, height: int = 64) -> bytes:
    """A real picture: a gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(c for x in range(width) for c in (4 * x, 4 * y, 128)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Demonstration:
    """One run in a folder that is there and empty.

    :param say: takes each line for people.
    """

    def __init__(self, folder: Path, say: Any = print) -> None:
        self._folder = folder
        self._say = say
        self._sent: dict[str, list[str]] = {"usage": [], "error": []}
        self._daemon: subprocess.Popen[bytes] | None = None
        self.stored: dict[str, int] = {}
        """How many records of each stream were found behind the stop."""

    def run(self) -> bool:
        """The whole way; whether all that was acknowledged is stored, once and in order.

        :raises DemoFailed: the gateway did not start, take what was sent, or stop.
        """
        try:
            port = self._start()
            self._say(f"listening on port {port}; sending reports and a specimen")
            begun = time.monotonic()
            self._send_all(port)
            count = sum(map(len, self._sent.values()))
            seconds = time.monotonic() - begun
            self._say(f"{count} reports acknowledged, each after its fsync, in {seconds:.2f} s; stopping it (SIGTERM)")
            status = self._stop()
            self._say(f"stopped with status {status}")
            return self._show() and status == 0
        finally:
            if self._daemon is not None and self._daemon.poll() is None:
                self._daemon.kill()
                self._daemon.wait()

    def _start(self) -> int:
        config, log = self._folder / "config.yml", self._folder / "log"
        text = {
            "cache_dir": str(self._folder / "cache"),
            "hostname": "demo-host",
            "storage": {"directory": str(self._folder / "objects")},
            "aggregation": {"usage_interval": "1s", "error_interval": "1s"},
        }
        config.write_text(json.dumps(text, indent=2) + "\n")  # JSON is YAML, and quotes what a path may hold
        self._say(f"$ lf6gateway serve -p 0 -c {config}")
        command = [sys.executable, "-m", "lf6gateway", "serve", "-p", "0", "-c", str(config), "--", f"--logfile={log}"]
        self._daemon = subprocess.Popen(command, stderr=subprocess.PIPE)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._daemon.poll() is None:
            found = re.search(r"listening on .*?port=(\d+)", log.read_text()) if log.exists() else None
            if found:
                return int(found[1])
            time.sleep(0.05)
        self._daemon.kill()
        _, said = self._daemon.communicate()
        raise DemoFailed(f"the gateway did not start; its log is {log}\n{said.decode(errors='replace')}".rstrip())

    def _stop(self) -> int:
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired as late:
            raise DemoFailed(f"the gateway did not stop; its log is {self._folder / 'log'}") from late
        return self._daemon.returncode

    def _send_all(self, port: int) -> None:
        """Single reports, batches, compressed batches; kept are the ids that were acknowledged."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_S)
        for stream, make in (("usage", usage_report), ("error", error_report)):
            for user in USERS:
                singles = [make(user, number) for number in range(20)]
                for report in singles:
                    # As a person would write it, on several lines: it is stored on one.
                    _send(connection, user, f"/{stream}", json.dumps(report, indent=2).encode(), {})
                batch = [make(user, number) for number in range(20, 60)]
                lines = "".join(json.dumps(report) + "\n" for report in batch).encode()
                half = lines.index(b"\n", len(lines) // 2) + 1
                kind = {"Content-Type": "application/x-ndjson"}
                _send(connection, user, f"/{stream}", lines[:half], kind)
                packed = gzip.compress(lines[half:])
                _send(connection, user, f"/{stream}", packed, {**kind, "Content-Encoding": "gzip"})
                self._sent[stream] += [str(report["id"]) for report in (*singles, *batch)]
        where = "/specimen?uri=file:///C:/photos/gradient.png"
        _send(connection, "alice", where, png(), {"Content-Type": "image/png"})
        connection.close()

    def _show(self) -> bool:
        """The tree of objects and some of their contents; whether all is there once, and in order."""
        fine = True
        objects = self._folder / "objects"
        self._say("\nobjects:")
        for path in sorted(objects.rglob("*")):
            if path.is_file() and ".meta" not in path.parts:
                self._say(f"  {path.stat().st_size:>8} bytes  {path.relative_to(objects)}")
        for stream, ids in self._sent.items():
            lines: list[bytes] = []
            for path in sorted((objects / stream).rglob("*.jsonl.gz")):
                lines += gzip.decompress(path.read_bytes()).splitlines()
            self.stored[stream] = len(lines)
            self._say(f"\n{stream}: {len(ids)} sent, {len(lines)} stored; the first three and the last:")
            for line in (*lines[:3], *lines[-1:]):
                self._say("  " + line.decode()[:150])
            if [json.loads(line)["id"] for line in lines] != ids:
                self._say(f"  NOT what was sent to /{stream}")
                fine = False
        specimens = list((objects / "specimen").rglob("*.png"))
        same = len(specimens) == 1 and specimens[0].read_bytes() == png()
        self._say(f"\nspecimen: {'the same bytes as were sent' if same else 'NOT what was sent'}")
        return fine and same


def _send(connection: http.client.HTTPConnection, user: str, path: str, body: bytes, headers: dict[str, str]) -> None:
    connection.request("PUT", path, body, {"User-Token": user, **headers})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 204:
        raise DemoFailed(f"PUT {path} was answered {answer.status}: {text.decode(errors='replace')}")
