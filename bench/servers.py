"""The candidates as processes: the gateway in its forms and the reference servers, each on a free port. Owns starting
and stopping them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.blackbox.gateway import Gateway, eventually, free_port

NOWHERE: dict[str, Any] = {
    "aws": {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b"},
    "s3": {"usage_bucket": "usage", "error_bucket": "error", "specimen_bucket": "specimen"},
    "upload": {"retry_min": "1h", "retry_max": "2h"},
    "shutdown": {"deadline": "1s"},
}
"""A configuration whose S3 is away, so that what is measured is reception alone."""


@dataclass(frozen=True)
class Server:
    """One that listens."""

    port: int
    pid: int

    @property
    def peak_mib(self) -> float:
        """The most resident memory it ever had."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else float("nan")

    @property
    def cpu_s(self) -> float:
        """The processor seconds it has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def gateway(folder: Path, **config: Any) -> Iterator[Server]:
    """The gateway with S3 away and intervals of an hour, unless told otherwise."""
    folder.mkdir(parents=True)
    hour = {"usage_interval": "1h", "error_interval": "1h"}
    settings = {**NOWHERE, "spool": {"max_bytes": "64GiB"}, **config}
    settings["aggregation"] = {**hour, **config.get("aggregation", {})}
    if "storage" in config:
        del settings["s3"], settings["aws"]
    running = Gateway(folder / "gateway", **settings)
    try:
        running.start()
        assert running.process is not None
        yield Server(running.port, running.process.pid)
    finally:
        running.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reference(folder: Path, kind: str) -> Iterator[Server]:
    """One of ``bench.reference``."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "bench.reference", kind, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """nginx that answers 204 and does nothing else, with one worker."""
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
        events {{ worker_connections 4096; }}
        http {{
          access_log off; client_body_temp_path {folder}/body; client_max_body_size 0; keepalive_requests 1000000000;
          server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 204; }} }}
        }}
        """
    )
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")],
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _listens(port))
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
