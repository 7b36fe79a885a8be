"""A server of ``tests.servers.install``, or moto, as a process on loopback, and a client that looks into it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import boto3
from botocore.config import Config

from tests.servers.install import HERE, RECIPES, Unavailable, folder_of, is_there

START_S = 60.0
ACCESS, SECRET = "AKIAGATEWAY", "gateway-secret-key"
NAMES = ("moto", *(name for name, recipe in RECIPES.items() if recipe.quick or is_there(name)))
"""Those the tests run against: one that takes long to install, only where somebody has asked for it."""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def version_of(name: str) -> str:
    if name == "moto":
        return version("moto")
    if name == "radosgw" and is_there(name):
        library = folder_of(name) / "usr/lib/x86_64-linux-gnu"
        env = {**os.environ, "LD_LIBRARY_PATH": f"{library}:{library / 'ceph'}"}
        told = subprocess.run(
            [folder_of(name) / "usr/bin/radosgw", "--version"], env=env, capture_output=True, text=True, check=True
        )
        return told.stdout.split()[2]
    return RECIPES[name].version


class Server:
    """One server, with an empty bucket.

    :param folder: for its data and its log.
    :raises Unavailable: it is not installed.
    """

    def __init__(self, name: str, folder: Path, bucket: str = "insights") -> None:
        self.name = name
        self.version = version_of(name)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.access, self.secret = ("test:tester", "testing") if name == "swift" else (ACCESS, SECRET)
        if name == "s3rver":
            self.access = self.secret = "S3RVER"  # it knows no other pair
        self.bucket = bucket
        self._data = folder / "data"
        command, env = self._command(name)
        self._data.mkdir(parents=True)
        self._log = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **env},
            start_new_session=True,
        )
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 3, "mode": "standard"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        try:
            self._wait(folder / f"{name}.log")
            self.client.create_bucket(Bucket=bucket)
        except BaseException:
            self.stop()
            raise

    def _command(self, name: str) -> tuple[list[object], Mapping[str, str]]:
        address = f"127.0.0.1:{self.port}"
        if name == "moto":
            return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.port], {}
        folder = folder_of(name)
        if name == "swift":
            python = folder / "bin" / "python"
            return [
                python,
                "-W",
                "ignore",
                HERE / "swift_server.py",
                self._data,
                self.port,
                self.access,
                self.secret,
            ], {}
        if name == "rclone":
            config = os.devnull
            serve = [
                "serve",
                "s3",
                "--config",
                config,
                "--addr",
                address,
                "--auth-key",
                f"{ACCESS},{SECRET}",
                self._data,
            ]
            return [folder / "bin" / "rclone", *serve], {}
        if name == "s3rver":
            return [folder / "node_modules/.bin/s3rver", "-d", self._data, "-a", "127.0.0.1", "-p", self.port], {}
        if name == "radosgw":
            server = [sys.executable, HERE / "radosgw_server.py", folder, self._data, self.port, ACCESS, SECRET]
            return server, {}
        gateway = [folder / "bin" / "versitygw", "--port", address, "posix", self._data]
        return gateway, {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"{self.name} did not start: {log.read_text(errors='replace')[-2000:]}")

    def pause(self) -> None:
        """Let it stand still, with its connections."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        # the whole group: some are started through a shell script
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        keys = [key for key in keys if "_lf6gateway/" not in key]  # on which the store is tried, and soon gone
        return {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


__all__ = ["NAMES", "Server", "Unavailable", "version_of"]
