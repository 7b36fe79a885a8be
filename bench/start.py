"""How long a gateway takes to be ready after ``kill -9`` with much waiting on its disk, and how much memory shipping
it takes.

    python -m bench.start --gib 1 --rounds 3

Prints, for each round: seconds from the start of the process to the first acknowledged record, seconds until all is
shipped (to a folder), and the peak of resident memory."""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from tests.blackbox.gateway import Gateway

MIB = 1024 * 1024
LINE = b'{"id":"%08d","version":"6.1.0","os":"linux","files":12,"seconds":0.25,"message":"cannot decode chunk IDAT"}\n'


def fill(gateway: Gateway, size: int) -> int:
    """Send batches until so many bytes wait; how many records."""
    batch = b"".join(LINE % number for number in range(16 * MIB // len(LINE % 0)))
    count = 0
    for _ in range(-(-size // len(batch))):
        if gateway.put("/usage", batch, Content_Type="application/x-ndjson") != 204:
            raise SystemExit("a batch was not taken")
        count += batch.count(b"\n")
    return count


def measure(size: int) -> tuple[float, float, float]:
    folder = Path(tempfile.mkdtemp(prefix="lf6gateway-start-"))
    try:
        gateway = Gateway(
            folder / "gateway",
            storage={"directory": str(folder / "objects")},
            aggregation={"usage_interval": "1h", "error_interval": "1h", "segment_bytes": "4GiB"},
            spool={"max_bytes": "64GiB"},
            shutdown={"deadline": "10m"},
        ).start()
        fill(gateway, size)
        gateway.kill()
        begun = time.monotonic()
        gateway.start()
        if gateway.put("/usage", b'{"n":1}') != 204:
            raise SystemExit("the record was not taken")
        ready = time.monotonic() - begun
        while any(gateway.cache.rglob("00000001-*.seg")):
            time.sleep(0.1)
        assert gateway.process is not None
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak = int(found[1]) / 1024 if found else 0.0
        if gateway.stop(600) != 0:
            raise SystemExit("the stop failed")
        return ready, time.monotonic() - begun, peak
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=1.0, help="how much waits")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    rounds = [measure(int(chosen.gib * 1024 * MIB)) for _ in range(chosen.rounds)]
    print("ready s  shipped s  peak MiB")
    for ready, shipped, peak in [*rounds, tuple(statistics.median(column) for column in zip(*rounds, strict=True))]:
        print(f"{ready:7.2f}  {shipped:9.1f}  {peak:8.0f}")
    print("(the last line is the median)")


if __name__ == "__main__":
    main()
