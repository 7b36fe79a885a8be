"""Real processes under load and under every kind of fault, after which what was acknowledged must be what is in S3.

    python -m tests.campaigns.laboratory --minutes 10 --seed 1

Two gateways of one hostname on two disks share an S3 server, a relay stands between, and one fault follows another, each
kind as often as any other. The seed decides which, how long, and on whom; what the machine does with its threads it
cannot decide, so that a failing seed is likely, not certain, to fail again. The counts of ``WRONG`` must be nought."""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import random
import sys
import threading
import time
from pathlib import Path

from tests.blackbox.gateway import Gateway
from tests.campaigns import load
from tests.campaigns.faults import EXACTLY, FAULTS, NEEDS, Scene
from tests.campaigns.load import Client, Sent, compare
from tests.campaigns.plant import Plant, tracebacks

WRONG = (*load.WRONG, "seen", "answers 500", "health not 200", "in quarantine", "tracebacks")
KEEP = ("one", "two")


class Watch(threading.Thread):
    """Asks for health all the time: whoever answers at all must be healthy, or on its way out."""

    def __init__(self, gateways: list[Gateway], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._gateways = gateways
        self._over = over
        self.asked = 0
        self.wrong = 0

    def run(self) -> None:
        while not self._over.wait(0.2):
            for gateway in self._gateways:
                client = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
                try:
                    client.request("GET", "/health")
                    answer = client.getresponse()
                    healthy = answer.status == 200 or b'"draining"' in answer.read()
                except (OSError, http.client.HTTPException):
                    continue
                finally:
                    client.close()
                self.asked += 1
                self.wrong += not healthy


def campaign(
    *, rounds: int | None, minutes: float, seconds: float, minute: float, interval: str, seed: int, only: list[str]
) -> dict[str, int]:
    """Run, and compare.

    :param rounds: how often each kind of fault comes; ``None``: until the minutes are over.
    :param seconds: how long a fault takes, about.
    :param minute: how long one of ``EXACTLY`` takes now and then.
    """
    chance = random.Random(seed)
    over = threading.Event()
    sent = Sent()
    kinds: collections.Counter[str] = collections.Counter()
    found: list[str] = []
    with Plant(interval=interval) as plant:
        for what, why in plant.missing.items():
            print(f"left out: {what}: {why}")
        chosen = [kind for kind in FAULTS if NEEDS.get(kind) not in plant.missing]
        chosen = [kind for kind in chosen if not only or any(word in kind for word in only)]
        clients = [
            Client(f"client{number}", plant.gateways[number % 2], sent, over, seed * 100 + number, pause=0.01)
            for number in range(4)
        ]
        watch = Watch(plant.gateways, over)
        for thread in (*clients, watch):
            thread.start()
        scene = Scene(plant, chance, sent, threading.Event(), found)
        begun = time.monotonic()
        while rounds is None or rounds > 0:
            for kind in chance.sample(chosen, len(chosen)):
                if rounds is None and time.monotonic() - begun > minutes * 60:
                    break
                long = kind in EXACTLY and minute > seconds and kinds[kind] % 3 == 0
                FAULTS[kind](scene, minute if long else seconds * chance.uniform(0.5, 1.5))
                kinds[kind] += 1
                scene.wait(seconds * chance.uniform(0, 0.5))
            else:
                rounds = None if rounds is None else rounds - 1
                continue
            break
        over.set()
        for client in clients:
            client.join()
        statuses = [gateway.stop(330) for gateway in plant.gateways]
        counts = compare(sent, plant.s3.objects("insights"))
        left = [name for gateway in plant.gateways for name in gateway.waiting_files()]
        quarantined = [path for one in plant.gateways for path in (one.cache / "quarantine").rglob("*.why.json")]
        found += [f"in quarantine: {path.read_text()[:300]}" for path in quarantined]
        failures = [line for gateway in plant.gateways for line in tracebacks(gateway)]
        counts |= {f"answers {status}": count for status, count in sorted(sent.answers.items())}
        counts["network faults"] = plant.relay.hits
        if any(counts[name] for name in load.WRONG if name in counts) or found or failures:
            for name in KEEP:
                Path(f"campaign-{seed}-{name}.log").write_bytes((plant.folder / name / "log").read_bytes())
                print(f"the log of gateway {name} is kept as campaign-{seed}-{name}.log")
    for words in (*found, *(f"in a log: {line}" for line in sorted(set(failures)))):
        print(words)
    counts |= {f"fault: {kind}": count for kind, count in sorted(kinds.items())}
    return counts | {
        "faults": kinds.total(),
        "seen": len(found) - len(quarantined),
        "in quarantine": len(quarantined),
        "tracebacks": len(failures),
        "health asked": watch.asked,
        "health not 200": watch.wrong,
        "exit status": sum(map(abs, statuses)),
        "left on disk": len(left),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=6.0, help="about how long a fault takes")
    parser.add_argument("--minute", type=float, default=60.0, help="how long a SIGSTOP takes now and then")
    parser.add_argument("--interval", default="2s")
    parser.add_argument("--seed", type=int, default=None, help="another one each time if left out")
    parser.add_argument("--only", nargs="*", default=[], help="kinds of fault, by words of their names")
    chosen = parser.parse_args()
    seed = random.randrange(1 << 30) if chosen.seed is None else chosen.seed
    counts = campaign(
        rounds=None,
        minutes=chosen.minutes,
        seconds=chosen.seconds,
        minute=chosen.minute,
        interval=chosen.interval,
        seed=seed,
        only=chosen.only,
    )
    for name, count in counts.items():
        print(f"{name:>36}  {count:>10,}{'   WRONG' if name in WRONG and count else ''}")
    print(json.dumps(counts))
    again = f"python -m tests.campaigns.laboratory --seed {seed} --minutes {chosen.minutes:g}"
    again += f" --seconds {chosen.seconds:g} --minute {chosen.minute:g} --interval {chosen.interval}"
    again += f" --only {' '.join(chosen.only)}" if chosen.only else ""
    print(f"again: {again}")
    sys.exit(1 if any(counts.get(name) for name in WRONG) else 0)


if __name__ == "__main__":
    main()
