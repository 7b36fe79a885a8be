"""Load by wrk, the HTTP generator. Owns how it is called and read.

wrk is a closed loop: a connection sends its next request when it has the answer to the last one. Its percentiles are
those of the answers it waited for; they are not corrected for coordinated omission, and say so in the table."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MISSING = "wrk is not installed (Debian, Ubuntu: apt-get install wrk)"

_SCRIPT = """
local made, turn = {}, 0
function init(args)
  for index, path in ipairs(PATHS) do
    local file = io.open(path, "rb")
    local body = file:read("*a")
    file:close()
    local headers = {}
    for name, value in pairs(HEADERS) do headers[name] = value end
    headers["User-Token"] = "user-" .. index
    headers["Content-Length"] = #body
    made[index] = wrk.format("PUT", TARGET, headers, body)
  end
end
function request()
  turn = turn % #made + 1
  return made[turn]
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, summary.bytes,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


def installed() -> bool:
    """Whether there is a wrk."""
    return shutil.which("wrk") is not None


@dataclass(frozen=True)
class Load:
    """What a run came to; latencies in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class Failed(RuntimeError):
    """Not every request got its 2xx."""


def put(
    port: int,
    target: str,
    bodies: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Send the bodies in turn, each as a user of its own, over so many keep-alive connections.

    :raises Failed: any answer was not 2xx, or any connection broke.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, body in enumerate(bodies):
            path = Path(folder, f"body-{number}")
            path.write_bytes(body)
            paths.append(str(path))
        script = Path(folder, "put.lua")
        named = ", ".join(f'["{name}"] = "{value}"' for name, value in (headers or {}).items())
        listed = ", ".join(f'"{path}"' for path in paths)
        script.write_text(f'TARGET = "{target}"\nHEADERS = {{{named}}}\nPATHS = {{{listed}}}\n{_SCRIPT}')
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        done = subprocess.run(
            [*command, "-s", str(script), f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True
        )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            count, micros, _, refused, broken, p50, p99, p999 = map(int, line.split()[1:])
            if refused or broken or not count:
                raise Failed(f"{refused} answers were not 2xx, {broken} connections broke, {count} requests: {target}")
            return Load(count, micros / 1e6, p50 / 1e3, p99 / 1e3, p999 / 1e3)
    raise Failed(f"wrk said: {done.stdout}{done.stderr}")
