"""Ceph's radosgw on loopback, out of packages that were unpacked but not installed: one monitor, one object store daemon
that keeps everything in memory, and the gateway, as children of this process, in its group.

    python radosgw_server.py PACKAGES FOLDER PORT ACCESS SECRET
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

FSID = "7c1ae1d0-8f2b-4d6e-9a55-3f0b6c2d9e11"
OSD = "0d9c2b1a-5e4f-4c3d-8b7a-6f5e4d3c2b1a"

CONFIG = """
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
osd data = {folder}/osd
mon data = {folder}/mon
rgw data = {folder}/rgw
run dir = {folder}
pid file = {folder}/$name.pid
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
plugin dir = {plugins}
erasure code dir = {plugins}
osd class dir = {plugins}
[mon.a]
public addr = v1:127.0.0.1:{mon}
[osd.0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def main(packages: Path, folder: Path, port: int, access: str, secret: str) -> None:
    libraries = packages / "usr/lib/x86_64-linux-gnu"
    plugins = libraries / "ceph"
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    mon = free_port()
    config = folder / "ceph.conf"
    config.write_text(CONFIG.format(fsid=FSID, mon=mon, folder=folder, plugins=plugins))
    env = {
        **os.environ,
        "CEPH_CONF": str(config),
        "CEPH_LIB": str(plugins),
        "LD_LIBRARY_PATH": f"{packages / 'lib/x86_64-linux-gnu'}:{libraries}:{plugins}",
        "PYTHONPATH": str(packages / "usr/lib/python3/dist-packages"),
    }

    def tool(name: str) -> str:
        return str(packages / "usr/bin" / name)

    def run(*command: str) -> None:
        subprocess.run(command, env=env, check=True, timeout=60)

    def ceph(*command: str) -> None:
        run("/usr/bin/python3", tool("ceph"), "--conf", str(config), *command)

    monmap = str(folder / "monmap")
    run(tool("monmaptool"), "--create", "--fsid", FSID, "--addv", "a", f"[v1:127.0.0.1:{mon}]", monmap)
    run(tool("ceph-mon"), "--mkfs", "-i", "a", "--monmap", monmap)
    children = [subprocess.Popen([tool("ceph-mon"), "-f", "-i", "a"], env=env)]
    for left in range(30, -1, -1):
        try:
            ceph("osd", "new", OSD)
            break
        except subprocess.CalledProcessError:  # it is not ready yet
            if not left:
                raise
            time.sleep(0.5)
    run(tool("ceph-osd"), "-i", "0", "--mkfs", "--osd-uuid", OSD)
    for _ in range(10):
        osd = subprocess.Popen([tool("ceph-osd"), "-f", "-i", "0"], env=env)
        try:
            osd.wait(3)  # now and then it asks the monitor too early, and ends
        except subprocess.TimeoutExpired:
            break
    children.append(osd)
    user = ["user", "create", "--uid=gateway", "--display-name=gateway"]
    run(tool("radosgw-admin"), *user, f"--access-key={access}", f"--secret-key={secret}")
    frontend = f"beast endpoint=127.0.0.1:{port}"
    children.append(
        subprocess.Popen([tool("radosgw"), "-f", "-n", "client.rgw.a", "--rgw-frontends", frontend], env=env)
    )
    sys.exit(children[-1].wait())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
