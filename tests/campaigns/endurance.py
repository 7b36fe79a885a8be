"""A long run under load, with ``kill -9`` and dead S3, after which what was acknowledged must be what is in S3, each once.

    python -m tests.campaigns.endurance --minutes 15

Several clients send usage reports, error reports (single and in batches) and specimens of several users. It is the
campaign of two kinds of fault at a fixed pace; ``tests/campaigns/laboratory.py`` has all kinds at random."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.blackbox.gateway import Gateway, S3Server
from tests.campaigns.load import WRONG, Client, Sent, compare
from tests.campaigns.relay import Relay


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
