"""What the image would do, done without an engine: its entry point as its user on a root that nothing can write to, its
health check, and the two services of the compose file beside a real S3 server."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blackbox.gateway import HERE, Gateway, S3Server, records
from tests.blackbox.test_running import stored
from tests.dockerfile import all_of, entrypoint, environment, healthcheck

BIN = Path(sys.executable).parent


def confined(command: list[str], writable: Path) -> list[str]:
    """A command as the image's user, without a privilege, in a tree that can be written to in one folder alone."""
    user, group = all_of("USER")[0].split(":")
    inner = f"exec setpriv --bounding-set=-all --no-new-privs {shlex.join(command)}"
    inner = f"exec unshare --user --map-user={user} --map-group={group} sh -c {shlex.quote(inner)}"
    folder = shlex.quote(str(writable))
    mounts = f"mount --bind {folder} {folder} && mount -o remount,bind,ro / && cd / && {inner}"
    return ["unshare", "--mount", "sh", "-c", mounts]


def refusal(tmp_path: Path) -> str | None:
    """Why this machine cannot do that; ``None`` if it can."""
    tried = "touch kept/a && ! touch b 2> /dev/null && id -u"
    (tmp_path / "kept").mkdir()
    command = confined(["sh", "-c", f"cd {shlex.quote(str(tmp_path))} && {tried}"], tmp_path / "kept")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        return str(error)
    if done.returncode:
        return done.stderr.strip() or "the root stayed writable (another file system is mounted there)"
    assert done.stdout.strip() == all_of("USER")[0].split(":")[0]
    return None


def variables(**more: str) -> dict[str, str]:
    return {
        **environment(),
        "PATH": environment()["PATH"].replace("/opt/lf6gateway/bin:$PATH", f"{BIN}:{os.environ['PATH']}"),
        **more,
    }


class Contained(Gateway):
    """The entry point of the image in place of ``twistd``."""

    def launch(self, *, port: int | None = 0, **popen: Any) -> subprocess.Popen[bytes]:
        writable = self.folder / "volume"
        writable.mkdir()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                confined(entrypoint(), writable),
                env=variables(
                    LIGHTFILE6_CACHE_DIR=str(writable / "cache"),
                    LIGHTFILE6_STORAGE_DIRECTORY=str(writable / "objects"),
                    LIGHTFILE6_HTTP_LISTEN="tcp:0:interface=127.0.0.1",
                    HOME="/nonexistent",
                ),
                stdout=log,
                stderr=log,
            )
        return self.process


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[Contained]:
    reason = refusal(tmp_path)
    if reason is not None:
        pytest.skip(f"a read-only root cannot be had here: {reason}")
    made = Contained(tmp_path / "gateway")
    yield made
    made.clean_up()


def test_the_entry_point_runs_as_nobody_in_particular_on_a_read_only_root(contained: Contained) -> None:
    contained.start()
    assert contained.process is not None
    status = Path(f"/proc/{contained.process.pid}/status").read_text()
    assert "CapEff:\t" + "0" * 16 in status.splitlines()
    assert contained.put("/usage", b'{"n":1}') == 204
    assert contained.put("/specimen?uri=a.png", b"x" * 100_000) == 204

    check = [word.replace(":8080/", f":{contained.port}/") for word in healthcheck()]
    assert check != healthcheck()
    for expected in (0, 1):
        assert bool(subprocess.run(check, env=variables(), capture_output=True, check=False).returncode) == expected
        if not expected:
            contained.process.send_signal(signal.SIGTERM)
            assert contained.process.wait(60) == 0
    log = contained.log.read_text()
    assert "Traceback" not in log
    assert "plugin cache" not in log
    objects = stored(contained.folder / "volume" / "objects")
    assert records(objects, "usage/") == [{"n": 1}]
    assert [data for key, data in objects.items() if key.startswith("specimen/alice/")] == [b"x" * 100_000]


def test_the_services_of_the_compose_file_work_together(tmp_path: Path) -> None:
    services = yaml.safe_load((HERE / "deploy" / "docker" / "compose.yml").read_text())["services"]
    server = S3Server(tmp_path)
    try:
        where = {"LIGHTFILE6_AWS_ENDPOINT": server.url}
        bucket = services["bucket"]
        assert bucket["entrypoint"][0] == "python"
        subprocess.run(
            [sys.executable, *bucket["entrypoint"][1:], *bucket["command"]],
            env={**os.environ, **bucket["environment"], **where},
            check=True,
            timeout=60,
        )
        env = {**services["gateway"]["environment"], **where, "LIGHTFILE6_HOSTNAME": services["gateway"]["hostname"]}
        daemon = Gateway(tmp_path / "gateway", env=env)
        try:
            daemon.start()
            assert daemon.put("/usage", b'{"n":1}') == 204
            assert daemon.stop() == 0
        finally:
            daemon.clean_up()
        objects = server.objects("insights")
        assert records(objects, "usage/") == [{"n": 1}]
        assert all(key.endswith(".gateway-1.jsonl.gz") for key in objects)
    finally:
        server.stop()


@pytest.mark.campaign
def test_the_commands_that_build_the_image_work_in_a_plain_folder(tmp_path: Path) -> None:
    """Fetches every package, which takes a minute."""
    source, place = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    for rest in all_of("COPY"):
        if not rest.startswith("--from"):
            names = [str(HERE / name) for name in rest.split()[:-1]]
            target = source / rest.split()[-1] if len(names) == 1 else source
            subprocess.run(["cp", "-r", *names, str(target)], check=True)
    build = [run for run in all_of("RUN") if "/opt/lf6gateway" in run]
    assert len(build) == 2
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    for run in build:
        command = run.replace("/opt/lf6gateway", str(place))
        subprocess.run(["sh", "-c", command], cwd=source, env=env, check=True, timeout=900)
    plugins = list(place.rglob("twisted/plugins/dropin.cache"))
    assert plugins
    done = subprocess.run([place / "bin" / "twistd", "--help"], capture_output=True, text=True, check=True)
    assert "lf6gateway" in done.stdout
