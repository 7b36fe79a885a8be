"""What a campaign runs: two real gateways of one hostname on disks of their own, a real S3 server, and the relay between
them. One gateway's disk can be filled up, its clock be moved, and its permissions bind even where all is run by root."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.blackbox.gateway import LAUNCH, Gateway, S3Server
from tests.campaigns.relay import Relay
from tests.campaigns.small_disk import NoDisk, SmallDisk, small_disk

DISK_MIB = 64
UNPRIVILEGED = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


class Plant(contextlib.ExitStack):
    """All processes, started; everything is ended and removed at the exit.

    :param interval: of sealing and shipping, as a Go duration.
    """

    def __init__(self, *, interval: str) -> None:
        super().__init__()
        self.missing: dict[str, str] = {}
        """What cannot be had on this machine, and why."""
        self.folder = Path(tempfile.mkdtemp(prefix="lf6gateway-campaign-"))
        self.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.s3 = S3Server(self.folder, "insights", lasting=True)
        self.callback(self.s3.stop)
        self.relay = Relay(self.s3.port, late_s=1.0)
        self.clock = self.folder / "clock"
        self.disk: SmallDisk | None = None
        try:
            self.disk = self.enter_context(small_disk(self.folder / "one" / "cache", DISK_MIB))
        except NoDisk as reason:
            self.missing["a small disk"] = str(reason)
        self.gateways = [self._gateway("one", interval), self._gateway("two", interval)]

    def _gateway(self, name: str, interval: str) -> Gateway:
        command = LAUNCH
        if os.geteuid() == 0:
            if shutil.which(UNPRIVILEGED[0]):
                command = (*UNPRIVILEGED, *LAUNCH)
            else:
                self.missing["permissions that bind root"] = "there is no setpriv"
        streams = ("usage", "error", "specimen")
        env = {"LF6_TEST_CLOCK": str(self.clock)} if name == "one" else {}
        gateway = Gateway(
            self.folder / name,
            command=command,
            env={**env, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            hostname="twin.host",
            aws={"endpoint": self.relay.url, "access_key_id": "AK", "secret_access_key": "SK"},
            s3={f"{one}_bucket": "insights" for one in streams} | {f"{one}_prefix": one for one in streams},
            aggregation={"usage_interval": interval, "error_interval": interval},
            upload={"request_timeout": "5s", "retry_min": "100ms", "retry_max": "2s"},
            spool={"min_free_bytes": "8MiB", "min_free_inodes": 100},
            shutdown={"deadline": "5m"},
        )
        self.callback(gateway.clean_up)
        gateway.start()
        return gateway

    def move_clock(self, seconds: int) -> None:
        """The first gateway's clock is so far off from now on."""
        descriptor = os.open(self.clock, os.O_WRONLY)
        os.pwrite(descriptor, f"{seconds * 10**9:+030d}".encode(), 0)
        os.close(descriptor)


def pid_of(gateway: Gateway) -> int:
    assert gateway.process is not None
    return gateway.process.pid


def descriptors(gateway: Gateway) -> int:
    """How many it has open."""
    return len(os.listdir(f"/proc/{pid_of(gateway)}/fd"))


def lock_it_up(gateway: Gateway, *, locked: bool) -> None:
    """Let nothing be made, renamed or removed in its cache directory, or again. (A file that is open stays so.)"""
    folders = [folder for folder, _, _ in os.walk(gateway.cache)]
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(folder, 0o500 if locked else 0o700)


def second_daemon(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    """Another daemon on the same cache directory; it ends by itself."""
    command = [*LAUNCH, "-n", "--pidfile=", "lf6gateway", "-p", "0", "-c", gateway.config]
    return subprocess.run(
        [str(part) for part in command],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def await_start(gateway: Gateway, seconds: float = 60.0) -> None:
    """Start it, as often as it takes: a disk that is full or locked just now may keep it from starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            gateway.start()
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def tracebacks(gateway: Gateway) -> list[str]:
    """The last lines of those in its log. Twisted's own of a descriptor that it cannot reserve is none of ours."""
    found = []
    for line in gateway.log.read_text().splitlines():
        if "Traceback" in line or "Unhandled" in line:
            told = json.loads(line) if line.startswith("{") else {"message": line}
            if not told.get("logger", "").startswith("twisted.internet.tcp"):
                found.append(str(told.get("traceback", told["message"])).strip().splitlines()[-1][:300])
    return found
