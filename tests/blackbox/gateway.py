"""A real gateway process, its S3 server, and the reading of what arrived, for tests that know only the outside."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import yaml

START_S = 30.0
TWISTD = Path(sys.executable).with_name("twistd")
HERE = Path(__file__).resolve().parents[2]
LAUNCH = (sys.executable, "-m", "tests.campaigns.launch")
"""In place of ``twistd``: the same, with surroundings that can be moved."""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class S3Server:
    """moto's S3 server, as a process of its own; ``lasting``: what it has outlives it."""

    def __init__(self, folder: Path, *buckets: str, lasting: bool = False) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "s3.log").open("wb")
        self._command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        if lasting:
            (folder / "s3").mkdir()
            self._command = [sys.executable, "-m", "tests.campaigns.lasting_s3", str(self.port), str(folder / "s3")]
            self._command += buckets
        self.start()
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="reader",
            aws_secret_access_key="reader",
            region_name="us-east-1",
        )
        for bucket in buckets if not lasting else ():
            self.client.create_bucket(Bucket=bucket)

    def start(self) -> None:
        """Begin, again after ``kill``."""
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log, cwd=HERE)
        self._wait()

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("the S3 server did not start")

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def objects(self, bucket: str) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        keys = [key for key in keys if "_lf6gateway/" not in key]  # on which the store is tried, and soon gone
        return {key: self.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


class Gateway:
    """``twistd -n lf6gateway`` in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (TWISTD,),
        **config: Any,
    ) -> None:
        self.folder = folder
        self._command: list[str | Path] = list(command)
        folder.mkdir(exist_ok=True)
        self.cache = folder / "cache"
        self.config = folder / "config.yml"
        self.log = folder / "log"
        self._env = {**os.environ, **({"PYTHONPATH": str(HERE)} if command is LAUNCH else {}), **(env or {})}
        settings = {
            "cache_dir": str(self.cache),
            "hostname": "test.host",
            "aggregation": {"usage_interval": "300ms", "error_interval": "300ms"},
            "admin": {"listen": "127.0.0.1:0"},
            **config,
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.admin_port = 0

    def launch(self, *, port: int | None = 0, **popen: Any) -> subprocess.Popen[bytes]:
        """Begin to start; ``port`` ``None``: no ``-p``."""
        command = [*self._command, "-n", "--pidfile=", "lf6gateway", *(() if port is None else ("-p", port))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in [*command, "-c", self.config]],
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=log,
                **popen,
            )
        return self.process

    def start(self, *, port: int = 0, **popen: Any) -> Gateway:
        before = self.log.stat().st_size if self.log.exists() else 0
        self.launch(port=port, **popen)
        return self.await_listening(before)

    def await_listening(self, before: int = 0) -> Gateway:
        """Wait until it takes connections; ``before``: what of its log was there before this start."""
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(rb"listening on .*?port=(\d+)", self.log.read_bytes()[before:])
            if found:
                self.port = int(found[1])
                admin = re.search(rb"operators are answered on http://.*?:(\d+)/", self.log.read_bytes()[before:])
                self.admin_port = int(admin[1]) if admin else 0
                return self
            time.sleep(0.02)
        raise AssertionError(f"the gateway did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask the operators' listener."""
        return self.request(method, path, user=None, port=self.admin_port, **headers)

    def status(self) -> Any:
        """What ``/status`` tells."""
        answer = self.ask("/status")
        assert answer[0] == 200, answer
        return json.loads(answer[2])

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        user: str | None = "alice",
        port: int | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            named.setdefault("User-Token", user)
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def put(self, path: str, body: bytes, user: str | None = "alice", **headers: str) -> int:
        return self.request("PUT", path, body, user, **headers)[0]

    def waiting_files(self) -> list[str]:
        """What in the cache still has to be shipped."""
        endings = (".seg", ".gz", ".spec", ".part", ".tmp")
        return sorted(path.name for path in self.cache.rglob("*") if path.is_file() and path.name.endswith(endings))


def records(objects: Mapping[str, bytes], prefix: str) -> list[Any]:
    """The records of a stream, in the order of the objects' keys."""
    lines = []
    for key in sorted(objects):
        if key.startswith(prefix) and key.endswith(".jsonl.gz"):
            lines += gzip.decompress(objects[key]).splitlines()
    return [json.loads(line) for line in lines]


def eventually(what: Any, seconds: float = 30.0) -> Any:
    """What a question comes to once the answer is yes; asked until then."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found or time.monotonic() > deadline:
            assert found, "it did not come true in time"
            return found
        time.sleep(0.05)
