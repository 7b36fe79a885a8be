"""How the daemon is run: in the background, embedded, by the environment, with large files, and on a full spool."""

from __future__ import annotations

import gzip
import http.client
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.blackbox.gateway import TWISTD, Gateway, eventually, records

Make = Callable[..., Gateway]
MIB = 1024 * 1024


def peak_rss(gateway: Gateway) -> int:
    assert gateway.process is not None
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def stored(folder: Path) -> dict[str, bytes]:
    shown = (
        path for path in folder.rglob("*") if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    paths = [path for path in shown if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_large_specimen_takes_no_more_memory_than_a_small_one(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    assert daemon.put("/specimen?uri=small.bin", os.urandom(5 * MIB)) == 204
    eventually(lambda: daemon.waiting_files() == [])
    small = peak_rss(daemon)
    piece = os.urandom(MIB)

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield piece

    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    headers = {"User-Token": "alice", "Content-Length": str(100 * MIB)}
    connection.request("PUT", "/specimen?uri=large.bin", pieces(), headers)
    assert connection.getresponse().status == 204
    connection.close()
    eventually(lambda: daemon.waiting_files() == [])
    large = peak_rss(daemon)
    assert daemon.stop() == 0
    assert large < 200 * MIB
    assert large - small < 40 * MIB
    (found,) = [path for path in (tmp_path / "objects").rglob("large.*.bin") if ".meta" not in path.parts]
    assert found.stat().st_size == 100 * MIB


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_in_the_background_with_a_pidfile_and_a_log(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway()
    pidfile, log = tmp_path / "pid", tmp_path / "daemon.log"
    command = [TWISTD, f"--pidfile={pidfile}", f"--logfile={log}", "lf6gateway", "-p", "0", "-c", "config.yml"]
    subprocess.run([str(part) for part in command], cwd=daemon.folder, check=True, timeout=30)
    found = eventually(lambda: log.exists() and re.search(r"listening on .*?port=(\d+)", log.read_text()))
    daemon.port = int(found[1])
    assert daemon.put("/usage", b'{"n":1}') == 204
    pid = int(pidfile.read_text())
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert not pidfile.exists()
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can bind a low port and become somebody else")
def test_it_binds_a_low_port_as_root_and_goes_on_as_somebody_else(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="lf6gateway-uid-"))  # pytest's own folders are root's alone
    try:
        nobody = pwd.getpwnam("nobody")
        daemon = Gateway(folder / "gateway", storage={"directory": str(folder / "objects")})
        for path in (folder, daemon.folder):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        port = next(number for number in range(1023, 600, -1) if _free(number))
        command = [TWISTD, "-n", "--pidfile=", "--uid=nobody", f"--gid={nobody.pw_gid}", "lf6gateway", "-p", port]
        with daemon.log.open("wb") as log:
            daemon.process = subprocess.Popen(
                [str(part) for part in [*command, "-c", daemon.config]], cwd=daemon.folder, stdout=log, stderr=log
            )
        try:
            eventually(lambda: f"port={port}" in daemon.log.read_text())
            daemon.port = port
            status = Path(f"/proc/{daemon.process.pid}/status").read_text()
            for name, number in (("Uid", nobody.pw_uid), ("Gid", nobody.pw_gid)):
                assert re.findall(rf"{name}:\s+(.*)", status)[0].split() == [str(number)] * 4
            assert daemon.put("/usage", b'{"n":1}') == 204
            daemon.process.send_signal(signal.SIGHUP)
            assert daemon.put("/specimen?uri=a", b"1") == 204
            assert daemon.stop() == 0
        finally:
            daemon.clean_up()
        assert "Traceback" not in daemon.log.read_text()
        assert [one["n"] for one in records(stored(folder / "objects"), "usage/")] == [1]
        for path in [*daemon.cache.rglob("*"), *(folder / "objects").rglob("*")]:
            assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (nobody.pw_uid, 0), path
    finally:
        shutil.rmtree(folder)


def _free(port: int) -> bool:
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_the_environment_rules_over_the_file(tmp_path: Path) -> None:
    config = {"storage": {"directory": str(tmp_path / "one")}}
    env = {"LIGHTFILE6_STORAGE_DIRECTORY": str(tmp_path / "two"), "LIGHTFILE6_HTTP_MAX_REPORT": "20"}
    daemon = Gateway(tmp_path / "gateway", env=env, **config).start()
    try:
        assert daemon.put("/usage", b'{"n":1}') == 204
        assert daemon.put("/usage", b'{"n":"much longer than twenty"}') == 413
        assert daemon.stop() == 0
    finally:
        daemon.clean_up()
    assert records(stored(tmp_path / "two"), "usage/") == [{"n": 1}]
    assert not (tmp_path / "one").exists()


def test_the_example_of_embedding_runs(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    settings = {"cache_dir": str(tmp_path / "cache"), "storage": {"directory": str(tmp_path / "objects")}}
    config.write_text(yaml.safe_dump(settings))
    example = Path(__file__).parents[2] / "examples" / "embedded.py"
    with subprocess.Popen([sys.executable, str(example), str(config), "0"], stdout=subprocess.PIPE, text=True) as host:
        try:
            assert host.stdout is not None
            port = int(re.findall(r"listening on (\d+)", host.stdout.readline())[0])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"the host application\n"
            connection.request("PUT", "/insights/usage", b'{"n":1}', {"User-Token": "alice"})
            assert connection.getresponse().status == 204
            connection.close()
            host.send_signal(signal.SIGTERM)
            host.wait(30)
        finally:
            host.kill()
    assert records(stored(tmp_path / "objects"), "usage/") == [{"n": 1}]


def test_a_full_spool_refuses_and_takes_again(gateway: Make, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    objects.write_bytes(b"a file where the folder should be: the store fails")
    limits = {"max_report": "64KiB", "max_batch": "64KiB", "max_specimen": "512KiB"}
    daemon = gateway(
        spool={"max_bytes": "1MiB", "max_waiting_bytes": "64KiB"},
        http=limits,
        upload={"retry_min": "100ms", "retry_max": "200ms"},
    ).start()
    taken = 0
    while True:
        status, headers, body = daemon.request("PUT", "/specimen?uri=a.bin", b"x" * 100_000)
        if status != 204:
            break
        taken += 1
    assert taken == 10
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert b"spool" in body
    assert daemon.request("GET", "/ready")[0] in (200, 503)
    assert daemon.request("GET", "/health")[0] == 200
    objects.unlink()
    eventually(lambda: daemon.put("/specimen?uri=a.bin", b"x" * 100_000) == 204)
    assert daemon.stop() == 0
    assert len([key for key in stored(objects) if key.startswith("specimen/")]) == taken + 1


def test_a_damaged_segment_is_set_aside_and_holds_up_nothing(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation={"usage_interval": "1h", "error_interval": "1h"}).start()
    for number in range(5):
        assert daemon.put("/usage", b'{"n":%d,"padding":"0123456789"}' % number) == 204
    daemon.kill()
    (segment,) = daemon.cache.rglob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b'"n":2')] ^= 1
    segment.write_bytes(bytes(data))
    daemon.start()
    assert daemon.put("/usage", b'{"n":5}') == 204
    assert daemon.stop() == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == [0, 1, 3, 4, 5]
    kept = [path for path in (daemon.cache / "quarantine").rglob("*") if path.is_file()]
    assert any(b"0123456789" in path.read_bytes() for path in kept)
    assert any(path.name.endswith(".why.json") for path in kept)


def test_a_start_with_much_waiting_is_quick_to_take_data(gateway: Make, tmp_path: Path) -> None:
    """256 MiB, to be quick; ``bench/start.py`` measures it with one GiB and more."""
    objects = tmp_path / "objects"
    objects.write_bytes(b"the store fails for now")
    daemon = gateway(aggregation={"usage_interval": "1h", "error_interval": "1h", "segment_bytes": "64MiB"}).start()
    line = b'{"padding":"%s"}\n' % (b"0123456789abcdef" * 1024)
    batch = line * (16 * MIB // len(line))
    for _ in range(16):
        assert daemon.put("/usage", batch, Content_Type="application/x-ndjson") == 204
    daemon.kill()
    objects.unlink()
    begun = time.monotonic()
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    seconds = time.monotonic() - begun
    assert daemon.stop() == 0
    lines = sum(gzip.decompress(data).count(b"\n") for data in stored(objects).values())
    assert lines == 16 * batch.count(b"\n") + 1
    print(f"ready after {seconds:.2f} s")
