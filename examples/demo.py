"""The whole way once, to look at: starts the gateway on a folder, sends reports and a specimen as real clients do,
stops it, and shows the objects that came of it. Run by ``make demo``; ends with status 1 if what is stored is not what
was sent."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

HERE = Path.cwd() / "demo-data"
USERS = ("alice", "bob", "carol", "dave")
VERSIONS = ("6.0.4", "6.1.0", "6.1.1")
ERRORS = ("cannot decode chunk IDAT", "out of memory at 8192x8192", "unknown colour profile")


def usage_report(user: str, number: int) -> dict[str, object]:
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


def start() -> tuple[subprocess.Popen[bytes], int]:
    config = HERE / "config.yml"
    config.write_text(
        f"cache_dir: {HERE / 'cache'}\nhostname: demo-host\nstorage:\n  directory: {HERE / 'objects'}\n"
        "aggregation:\n  usage_interval: 1s\n  error_interval: 1s\n"
    )
    twistd = Path(sys.executable).with_name("twistd")
    command = [twistd, "-n", "--pidfile=", f"--logfile={HERE / 'log'}", "lf6gateway", "-p", "0", "-c", config]
    print("$", "twistd -n lf6gateway -p 0 -c", config.relative_to(Path.cwd()))
    daemon = subprocess.Popen([str(part) for part in command])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and daemon.poll() is None:
        log = (HERE / "log").read_text() if (HERE / "log").exists() else ""
        found = re.search(r"listening on .*?port=(\d+)", log)
        if found:
            return daemon, int(found[1])
        time.sleep(0.05)
    daemon.kill()
    raise SystemExit(f"the gateway did not start; its log is {HERE / 'log'}")


def send(connection: http.client.HTTPConnection, user: str, path: str, body: bytes, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("PUT", path, body, {"User-Token": user, **named})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 204:
        raise SystemExit(f"PUT {path} was answered {answer.status}: {text.decode(errors='replace')}")


def send_all(port: int) -> dict[str, list[str]]:
    """Single reports, batches, compressed batches; the ids that were acknowledged, by stream."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    sent: dict[str, list[str]] = {"usage": [], "error": []}
    for stream, make in (("usage", usage_report), ("error", error_report)):
        for user in USERS:
            singles = [make(user, number) for number in range(20)]
            for report in singles:
                # As a person would write it, on several lines: it is stored on one.
                send(connection, user, f"/{stream}", json.dumps(report, indent=2).encode())
            batch = [make(user, number) for number in range(20, 60)]
            lines = "".join(json.dumps(report) + "\n" for report in batch).encode()
            half = lines.index(b"\n", len(lines) // 2) + 1
            send(connection, user, f"/{stream}", lines[:half], Content_Type="application/x-ndjson")
            send(
                connection,
                user,
                f"/{stream}",
                gzip.compress(lines[half:]),
                Content_Type="application/x-ndjson",
                Content_Encoding="gzip",
            )
            sent[stream] += [str(report["id"]) for report in (*singles, *batch)]
    send(connection, "alice", "/specimen?uri=file:///C:/photos/gradient.png", png(), Content_Type="image/png")
    connection.close()
    return sent


def show(sent: dict[str, list[str]]) -> bool:
    """The tree of objects and some of their contents; whether all is there once, and in order."""
    fine = True
    objects = HERE / "objects"
    print("\nobjects:")
    for path in sorted(objects.rglob("*")):
        if path.is_file() and ".meta" not in path.parts:
            print(f"  {path.stat().st_size:>8} bytes  {path.relative_to(objects)}")
    for stream, ids in sent.items():
        lines = []
        for path in sorted((objects / stream).rglob("*.jsonl.gz")):
            lines += gzip.decompress(path.read_bytes()).splitlines()
        print(f"\n{stream}: {len(ids)} sent, {len(lines)} stored; the first three and the last:")
        for line in (*lines[:3], lines[-1]):
            print("  " + line.decode()[:150])
        if [json.loads(line)["id"] for line in lines] != ids:
            print(f"  NOT what was sent to /{stream}")
            fine = False
    specimens = list((objects / "specimen").rglob("*.png"))
    same = len(specimens) == 1 and specimens[0].read_bytes() == png()
    print(f"\nspecimen: {'the same bytes as were sent' if same else 'NOT what was sent'}")
    return fine and same


def main() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    daemon, port = start()
    print(f"listening on port {port}; sending reports and a specimen")
    begun = time.monotonic()
    sent = send_all(port)
    count = sum(map(len, sent.values()))
    seconds = time.monotonic() - begun
    print(f"{count} reports acknowledged, each after its fsync, in {seconds:.2f} s; stopping it (SIGTERM)")
    os.kill(daemon.pid, signal.SIGTERM)
    status = daemon.wait(60)
    print(f"stopped with status {status}")
    if not show(sent) or status != 0:
        raise SystemExit(1)
    print(f"\nall there, once, in order. Look around in {HERE.relative_to(Path.cwd())}/")


if __name__ == "__main__":
    main()
