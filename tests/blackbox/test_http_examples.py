"""The examples of ``docs/http.md`` and ``docs/client.md``, as they stand there, against the running gateway."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lf6gateway.client import Options, Statistics
from tests.blackbox.gateway import HERE, Gateway, records
from tests.blackbox.test_client import url_of
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
HTTP = (HERE / "docs/http.md").read_text(encoding="utf-8")
CLIENT = (HERE / "docs/client.md").read_text(encoding="utf-8")
LANGUAGES = {
    "sh": ("sh", "send.sh", (("sh", "send.sh"),)),
    "go": ("go", "send.go", (("go", "run", "send.go"),)),
    "js": ("node", "send.mjs", (("node", "send.mjs"),)),
    "php": ("php", "send.php", (("php", "send.php"),)),
    "csharp": (
        "mcs",
        "send.cs",
        (("mcs", "-langversion:latest", "-r:System.Net.Http.dll", "send.cs"), ("mono", "send.exe")),
    ),
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_example_sends_each_thing_once(gateway: Make, tmp_path: Path, language: str) -> None:
    program, name, commands = LANGUAGES[language]
    for needed in {program, *(command[0] for command in commands)} | ({"curl"} if language == "sh" else set()):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    (example,) = blocks(HTTP, language)
    folder = tmp_path / "example"
    folder.mkdir()
    (folder / name).write_text(example, encoding="utf-8")
    daemon = gateway(auth={"mode": "open"}).start()
    environ = {**os.environ, "LF6GATEWAY_URL": url_of(daemon), "LF6GATEWAY_TOKEN": "alice"}
    for command in commands:
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert records(objects, "usage/") == [{"version": "6.1.0", "files": 12}]
    assert records(objects, "error/") == [{"error": "out of memory"}, {"error": "no such file"}]
    (specimen,) = [(key, data) for key, data in objects.items() if key.startswith("specimen/")]
    assert re.fullmatch(r"specimen/alice/\d{4}/\d\d/\d\d/specimen\.\d+\.bin", specimen[0])
    assert len(specimen[1]) == 100_000


def test_the_shortest_example_of_the_client_runs(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    example = blocks(CLIENT, "python")[0].replace("http://localhost:8080", url_of(daemon))
    assert len(example.strip().splitlines()) <= 5
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    subprocess.run([sys.executable, "-c", example], env=environ, cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "state" / "lf6gateway-client").is_dir()
    assert daemon.stop() == 0
    assert records(stored(tmp_path / "objects"), "usage/") == [{"version": "6.1.0", "files": 12}]


def test_the_examples_of_the_client_are_python_and_each_option_is_told_of() -> None:
    for example in blocks(CLIENT, "python"):
        compile(example, "docs/client.md", "exec")
    for name in [*Options.__dataclass_fields__, *Statistics.__dataclass_fields__]:
        assert f"`{name}`" in CLIENT, name


def test_each_problem_of_the_gateway_is_told_of() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in [*(HERE / "lf6gateway/edges").glob("*.py"), *(HERE / "lf6gateway/services").glob("*.py")]
    )
    names = set(re.findall(r'(?:Problem\(\s*\d+,\s*|bad_request\(\s*)"([a-z-]+)"', source))
    names |= set(re.findall(r'(?:unavailable|Refusal|SpoolUnavailable)\(\s*"([a-z_]+)"', source))
    assert len(names) > 20
    for name in sorted(names):
        assert f"`{name}`" in HTTP, name
