"""The wheel, and an editable install: both bring the twistd plugin along, wherever twistd is started."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(python: str | Path, *words: str | Path, cwd: Path) -> None:
    # Nothing is fetched: the build backend is one of the test requirements.
    flags = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
    run(python, "-m", "pip", words[0], *flags, *words[1:], cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--wheel-dir", folder, ROOT, cwd=folder)
    (found,) = folder.glob("lf6gateway-*.whl")
    return found


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The python of a fresh environment that borrows the dependencies of this one, but not an installed gateway."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "lf6gateway" not in entry.name and entry.name != "__pycache__":
            if entry.name == "twisted":
                # A real folder, so that a wheel's plugin lands in this environment and not in the lender's.
                (packages / "twisted" / "plugins").mkdir(parents=True)
                for part in entry.iterdir():
                    if part.name != "plugins":
                        (packages / "twisted" / part.name).symlink_to(part)
                for part in (entry / "plugins").glob("[a-z]*.py"):
                    if not part.name.startswith("lf6gateway"):
                        (packages / "twisted" / "plugins" / part.name).symlink_to(part)
                (packages / "twisted" / "plugins" / "__init__.py").symlink_to(entry / "plugins" / "__init__.py")
            else:
                (packages / entry.name).symlink_to(entry)
    return python


def commands(python: Path, cwd: Path) -> str:
    return run(python, "-c", "from twisted.scripts.twistd import run; run()", "--help", cwd=cwd)


def test_the_wheel_holds_the_plugin_and_claims_no_part_of_twisted(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "twisted/plugins/lf6gateway_plugin.py" in names
    assert [name for name in names if name.startswith("twisted/")] == ["twisted/plugins/lf6gateway_plugin.py"]
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lf6gateway", "twisted"}
    assert "lf6gateway/py.typed" in names


def test_the_wheel_names_its_command_and_its_requirements(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "lf6gateway = lf6gateway.edges.cli:main" in archive.read(points).decode()
    (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    text = archive.read(metadata).decode()
    for word in ("Requires-Python: >=3.11", "License-Expression: MIT", "Requires-Dist: treq", "Provides-Extra: speed"):
        assert word in text


def test_twistd_finds_the_plugin_of_an_installed_wheel(wheel: Path, environment: Path, tmp_path: Path) -> None:
    assert "lf6gateway" not in commands(environment, tmp_path)
    pip(environment, "install", wheel, cwd=tmp_path)
    assert "lf6gateway       Take usage reports" in commands(environment, tmp_path)


def test_an_installed_wheel_shows_itself_without_a_checkout(wheel: Path, environment: Path, tmp_path: Path) -> None:
    pip(environment, "install", wheel, cwd=tmp_path)
    packages = Path(run(environment, "-c", "import lf6gateway as it; print(it.__file__)", cwd=tmp_path).strip())
    told = json.loads(run(environment, "-P", "-m", "lf6gateway", "demo", "--json", cwd=tmp_path))
    assert told == {"stored": {"usage": 240, "error": 240}, "fine": True, "folder": None}
    assert not list(packages.parents[1].rglob("dropin.cache"))


def test_twistd_finds_the_plugin_of_an_editable_install(environment: Path, tmp_path: Path) -> None:
    pip(environment, "install", "--editable", ROOT, cwd=tmp_path)
    assert "lf6gateway       Take usage reports" in commands(environment, tmp_path)


def test_constraints_hold_every_requirement_and_nothing_local() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in lines)
    named = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert {"twisted", "treq", "botocore", "pydantic", "msgspec", "zstandard", "google-crc32c", "moto", "ruff"} <= named
