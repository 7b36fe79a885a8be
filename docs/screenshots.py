"""Takes the pictures of the operator's page that the documentation shows, from a real gateway under load, with a store
that was away for a while: ``python -m docs.screenshots``. Needs Chromium and what the tests need.

Three hours have to lie behind a picture with charts in it, so the gateway stands on a clock that goes 120 times as fast
as the wall's; everything else is as always."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import math
import os
import random
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

FAST = 120
HOURS = 3
LOADED = HOURS * 60 - 8
"""Minutes of load before the browser is there."""
STREAMS = ("usage", "error", "specimen")
IMAGES = Path(__file__).with_name("images")
USERS = [
    "anna", "ben", "carla.rossi", "build-farm-03", "dmitri", "elif", "fotolabor-nord", "山田", "georg", "hanna", "ines",
    "lab-17", "kiosk-berlin-2", "marek", "noor",
]  # fmt: skip


def daemon() -> None:
    """Be ``twistd lf6gateway`` on a fast clock that ends up at the present."""
    from twisted.scripts.twistd import run

    from lf6gateway.edges import tap
    from lf6gateway.services import watch
    from lf6gateway.services.surroundings import Surroundings, real

    begun, wall = time.monotonic(), time.time_ns() - HOURS * 3600 * 10**9

    def now_ns() -> int:
        return wall + int((time.monotonic() - begun) * FAST * 1e9)

    def surroundings(reactor: Any) -> Surroundings:
        return replace(real(reactor), now_ns=now_ns)

    watch.MINUTE = 60 / FAST  # type: ignore[misc]
    tap.makeService = partial(tap.makeService, surroundings=surroundings)
    sys.argv = ["twistd", *sys.argv[2:]]
    run()


class Load:
    """Senders whose number rises and falls."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._chance = random.Random(17)

    def minute(self, number: int) -> None:
        """What comes in one minute of the fast clock."""
        chance = self._chance
        rate = 28 + 16 * math.sin(number / 23) + 5 * math.sin(number / 5)
        for _ in range(max(3, int(chance.gauss(rate, 3)))):
            user = USERS[min(int(chance.expovariate(0.4)), len(USERS) - 1)]
            report = {"version": "6.1.0", "files": chance.randrange(900), "seconds": round(chance.random() * 40, 2)}
            self._send("/usage", json.dumps(report).encode(), user)
        for _ in range(int(chance.gauss(rate / 6, 1.5))):
            trace = "".join(chance.choices("0123456789abcdef", k=600))
            self._send("/error", json.dumps({"kind": "DecodeError", "trace": trace}).encode(), chance.choice(USERS))
        if number % 4 == 0:
            picture = f"/specimen?uri=file:///D:/photos/IMG_{number:04}.png"
            self._send(picture, chance.randbytes(chance.randrange(4_000, 60_000)), chance.choice(USERS))
        if chance.random() < 0.25:
            self._send("/usage", b'{"cut": ', "ben")

    def until(self, over: threading.Event) -> None:
        """Go on while pictures are taken."""
        for minute in itertools.count(LOADED):
            self.minute(minute)
            if over.wait(60 / FAST):
                break

    def _send(self, path: str, body: bytes, user: str) -> None:
        self._http.request("PUT", path, body, {"User-Token": user.encode(), "Content-Type": "application/json"})
        self._http.getresponse().read()


def main() -> None:
    """Run a gateway, load it, take the pictures."""
    from tests.blackbox.gateway import Gateway, S3Server
    from tests.browser import browser

    with tempfile.TemporaryDirectory(prefix="screenshots-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        s3 = S3Server(folder, "insights", lasting=True)
        stack.callback(s3.stop)
        damaged = folder / "gateway" / "cache" / "spool" / "specimen" / time.strftime("%Y%m%d%H", time.gmtime())
        damaged.mkdir(parents=True)
        (damaged / f"{time.time_ns():020d}-{'5' * 32}.spec").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
        command = [sys.executable, "-m", "docs.screenshots", "daemon"]
        here = str(Path(__file__).resolve().parents[1])
        gateway = Gateway(
            folder / "gateway",
            command=command,
            env={"PYTHONPATH": here},
            hostname="insights-1.example",
            aws={"endpoint": s3.url, "access_key_id": "example", "secret_access_key": "example"},
            s3={f"{one}_bucket": "insights" for one in STREAMS} | {f"{one}_prefix": one for one in STREAMS},
            aggregation={"usage_interval": "5s", "error_interval": "5s"},
            alerts={"oldest_intervals": 500},
            upload={"retry_min": "200ms", "retry_max": "1s"},
            admin={"listen": "127.0.0.1:0", "links": True},
        )
        gateway.start()
        stack.callback(gateway.clean_up)
        load = Load(gateway.port)
        begun = time.monotonic()
        for minute in range(LOADED):
            if minute == 95:
                s3.kill()
            if minute == 118:
                s3.start()
            load.minute(minute)
            time.sleep(max(0.0, begun + (minute + 1) * 60 / FAST - time.monotonic()))
        over = threading.Event()
        going_on = threading.Thread(target=load.until, args=(over,))
        going_on.start()
        stack.callback(going_on.join)
        stack.callback(over.set)
        IMAGES.mkdir(exist_ok=True)
        with browser() as chromium:
            for picture, options in (
                ("page-desktop-light.png", {"width": 1280, "height": 860}),
                ("page-phone-dark.png", {"width": 360, "height": 1180, "dark": True, "phone": True}),
            ):
                chromium.look(**options)
                chromium.open(f"http://127.0.0.1:{gateway.admin_port}/")
                chromium.wait("document.getElementById('link').className === 'link on'")
                time.sleep(1.5)  # some minutes of load behind that of the browser's own start
                (IMAGES / picture).write_bytes(chromium.picture())
            if os.environ.get("ALL_PICTURES"):
                for width, dark in ((1280, False), (1280, True), (360, False), (360, True)):
                    chromium.look(width=width, dark=dark, phone=width < 500)
                    found = chromium.picture(whole=True)
                    Path(os.environ["ALL_PICTURES"], f"{width}-{'dark' if dark else 'light'}.png").write_bytes(found)
        print("said:", chromium.said or "nothing")


if __name__ == "__main__":
    daemon() if sys.argv[1:2] == ["daemon"] else main()
