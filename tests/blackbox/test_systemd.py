"""Under systemd: what it is told and when, and that a restart on a socket it holds refuses nobody. The part of systemd
is played by a few lines here, by its documentation; the unit files are tried by its own ``systemd-analyze``."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blackbox.gateway import HERE, LAUNCH, TWISTD, Gateway, S3Server, eventually, records
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
UNITS = HERE / "deploy" / "systemd"
WITH_LISTEN_PID = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
HANDED_OVER = (sys.executable, "-c", WITH_LISTEN_PID, TWISTD)
"""``twistd`` with the socket that its parent has put at descriptor 3, as systemd starts it."""


def usage(objects: dict[str, bytes]) -> list[int]:
    return sorted(one["n"] for one in records(objects, "usage/"))


class Manager:
    """The receiving end of sd_notify(3)."""

    def __init__(self, path: Path, *, abstract: bool = False) -> None:
        self.address = f"@{path}" if abstract else str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + str(path) if abstract else str(path))
        self._socket.settimeout(30)
        self.heard: list[str] = []

    def until(self, line: str) -> list[str]:
        """The lines of the next message that has a line beginning so; those before it are in ``heard``."""
        while True:
            message = self._socket.recv(4096).decode().split("\n")
            self.heard += message
            if any(one.startswith(line) for one in message):
                return message

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=[False, True], ids=["a file", "an abstract name"])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify", abstract=request.param)
    yield made
    made.close()


def test_the_manager_is_told_each_step(gateway: Make, manager: Manager, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000", "LF6_TEST_GATE": str(gate)}
    daemon = gateway(command=LAUNCH, env=env, shutdown={"deadline": "20s"})
    process = daemon.launch()
    assert "STATUS=starting" in manager.until("EXTEND_TIMEOUT_USEC=30000000")
    manager.until("WATCHDOG=1")
    assert "READY=1" not in manager.heard
    gate.unlink()
    manager.until("READY=1")
    daemon.await_listening()
    assert daemon.put("/usage", b'{"n":1}') == 204
    manager.heard.clear()
    for _ in range(3):
        manager.until("WATCHDOG=1")
    for text in (daemon.config.read_text(), "nonsense: 1\n"):  # one that is refused is read all the same
        daemon.config.write_text(text)
        process.send_signal(signal.SIGHUP)
        micros = manager.until("RELOADING=1")[1]
        assert micros.startswith("MONOTONIC_USEC=") and int(micros.partition("=")[2]) > 0
        manager.until("READY=1")
    process.send_signal(signal.SIGTERM)
    assert "EXTEND_TIMEOUT_USEC=50000000" in manager.until("STOPPING=1")
    assert process.wait(30) == 0


def test_another_processs_watchdog_is_none_of_ours_and_a_manager_that_is_gone_no_harm(
    gateway: Make, tmp_path: Path
) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
    daemon = gateway(env=env).start()
    eventually(lambda: "cannot be told" in daemon.log.read_text())
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert log.count("cannot be told") == 1
    assert usage(stored(tmp_path / "objects")) == [1]


def hand_over(daemon: Gateway, listening: socket.socket) -> subprocess.Popen[bytes]:
    def at_three() -> None:
        os.dup2(listening.fileno(), 3)
        os.set_inheritable(3, True)

    return daemon.launch(port=None, preexec_fn=at_three, close_fds=False)


def of_systemd(gateway: Make, **config: object) -> Gateway:
    return gateway(command=HANDED_OVER, env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "lf6gateway.socket"}, **config)


@pytest.mark.parametrize("listen", [[], ["systemd:domain=INET:index=0"]], ids=["by itself", "http.listen"])
def test_a_restart_on_a_socket_that_is_held_refuses_no_connection_and_fails_no_request(
    gateway: Make, s3: S3Server, listen: list[str]
) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listening.getsockname()[1]
    daemon = of_systemd(gateway, s3=s3, http={"listen": listen})
    acknowledged: list[int] = []
    failed: list[object] = []
    over = threading.Event()

    def send(first: int) -> None:
        number = first
        while not over.is_set() and not failed:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                client.request("PUT", "/usage", b'{"n":%d}' % number, {"User-Token": "alice"})
                status = client.getresponse().status
                if status == 204:
                    acknowledged.append(number)
                else:
                    failed.append(status)
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)
            finally:
                client.close()
            number += 4

    threads = [threading.Thread(target=send, args=(first,), daemon=True) for first in range(4)]
    process = hand_over(daemon, listening)
    for thread in threads:
        thread.start()
    for _ in range(1 if listen else 2):
        count = len(acknowledged)
        eventually(lambda count=count: len(acknowledged) > count + 30 or failed)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process = hand_over(daemon, listening)
    count = len(acknowledged)
    eventually(lambda: len(acknowledged) > count + 50 or failed)
    over.set()
    for thread in threads:
        thread.join()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert failed == []
    assert usage(s3.objects("insights")) == sorted(acknowledged)


def test_a_unix_socket_keeps_its_name_through_a_restart(gateway: Make, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(10)
    daemon = of_systemd(gateway)
    for number in range(2):
        process = hand_over(daemon, listening)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(path))
            client.sendall(
                b'PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: b\r\nContent-Length: 7\r\n\r\n{"n":%d}' % number
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 204")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert usage(stored(tmp_path / "objects")) == [0, 1]


def test_a_socket_that_does_not_listen_ends_the_start_in_a_line(gateway: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        daemon = of_systemd(gateway)
        assert hand_over(daemon, datagrams).wait(30) == 1
    log = daemon.log.read_text()
    assert "descriptor 3" in log and "ListenStream=" in log and "Traceback" not in log


def test_the_unit_files_are_as_systemd_wants_them(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze here to try the unit files with")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/lf6gateway/bin/twistd", str(TWISTD))
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / name) for name in ("lf6gateway.service", "lf6gateway.socket")]
    run = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stderr.splitlines() if "lf6gateway" in line] == []


def test_the_service_is_confined(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze here to judge the service with")
    unit = tmp_path / "lf6gateway.service"
    unit.write_text((UNITS / unit.name).read_text())
    judge = [analyze, "security", "--offline=true", "--no-pager", "--threshold=25", unit]
    run = subprocess.run(judge, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized option" in run.stderr:
        pytest.skip("this systemd-analyze cannot judge a file that is not installed")
    assert run.returncode == 0, run.stdout


def test_no_system_call_is_filtered_that_the_gateway_makes(gateway: Make, tmp_path: Path) -> None:
    analyze, strace = shutil.which("systemd-analyze"), shutil.which("strace")
    if analyze is None or strace is None:
        pytest.skip("there is no strace and systemd-analyze here to compare")
    (groups,) = re.findall(r"^SystemCallFilter=(.*)$", (UNITS / "lf6gateway.service").read_text(), re.MULTILINE)
    allowed: set[str] = set()
    asked, seen = groups.split(), set()
    while asked:
        group = asked.pop()
        if group in seen:
            continue
        seen.add(group)
        listed = subprocess.run([analyze, "syscall-filter", group], capture_output=True, text=True, check=True).stdout
        names = [line.strip() for line in listed.splitlines()[1:] if line.strip() and "#" not in line]
        asked += [name for name in names if name.startswith("@")]
        allowed.update(names)
    made = tmp_path / "calls"
    # Only what a program does itself: strace counts, and makes it slow, but changes nothing.
    daemon = gateway(command=(strace, "-f", "-qq", "-c", "-U", "name", "-o", made, TWISTD))
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.put("/specimen?uri=a.png", b"x" * 100_000) == 204
    assert daemon.process is not None
    (child,) = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    assert daemon.process.wait(60) == 0
    calls = {line.strip() for line in made.read_text().splitlines() if re.fullmatch(r"[a-z0-9_]+", line.strip())}
    assert len(calls) > 40
    assert calls - allowed - {"syscall", "total"} == set()
