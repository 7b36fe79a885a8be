"""The examples of ``docs/http.md`` and ``docs/client.md``, as they stand there, against the running gateway."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lf6gateway.client import Options, Statistics
from tests.blackbox.gateway import HERE, Gateway, records
from tests.blackbox.test_client import url_of
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
HTTP = (HERE / "docs/http.md").read_text(encoding="utf-8")
CLIENT = (HERE / "docs/client.md").read_text(encoding="utf-8")
LANGUAGES: dict[str, tuple[Any, ...]] = {
    "sh": ("send.sh", ("sh", "send.sh")),
    "go": ("send.go", ("go", "run", "send.go")),
    "js": ("send.mjs", ("node", "send.mjs")),
    "php": ("send.php", ("php", "send.php")),
    "csharp": ("send.cs", ("mcs", "-langversion:latest", "-r:System.Net.Http.dll", "send.cs"), ("mono", "send.exe")),
}
"""File and commands of each."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, dict[str, list[Any]]]]:
    """For each language: what went wrong, and what arrived from it by stream. All examples run at once, each as a user of
    its own, whom the envelope tells apart."""
    folder = tmp_path_factory.mktemp("examples")
    daemon = Gateway(folder / "gateway", storage={"directory": str(folder / "objects")}, records={"envelope": True})
    daemon.start()
    try:
        with ThreadPoolExecutor(len(LANGUAGES)) as pool:
            wrong = dict(
                zip(LANGUAGES, pool.map(lambda one: run_example(one, folder / one, daemon), LANGUAGES), strict=True)
            )
        assert daemon.stop() == 0
    finally:
        daemon.clean_up()
    objects = stored(folder / "objects")
    found: dict[str, tuple[str, dict[str, list[Any]]]] = {}
    for language in LANGUAGES:
        streams = {
            stream: [one["data"] for one in records(objects, f"{stream}/") if one["user"] == language]
            for stream in ("usage", "error")
        }
        specimens = [(key, len(data)) for key, data in objects.items() if key.startswith(f"specimen/{language}/")]
        found[language] = wrong[language], {**streams, "specimen": specimens}
    return found


def run_example(language: str, folder: Path, daemon: Gateway) -> str:
    name, *commands = LANGUAGES[language]
    for needed in [command[0] for command in commands] + (["curl"] if language == "sh" else []):
        if shutil.which(needed) is None:
            return f"{needed} is not installed"
    (example,) = blocks(HTTP, language)
    folder.mkdir()
    (folder / name).write_text(example, encoding="utf-8")
    environ = {**os.environ, "LF6GATEWAY_URL": url_of(daemon), "LF6GATEWAY_TOKEN": language}
    for command in commands:
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=120, check=False)
        if done.returncode:
            return done.stderr.decode() + done.stdout.decode()
    return ""


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_example_sends_each_thing_once(sent: dict[str, tuple[str, dict[str, list[Any]]]], language: str) -> None:
    wrong, streams = sent[language]
    if wrong.endswith("is not installed"):
        pytest.skip(wrong)
    assert not wrong, wrong
    assert streams["usage"] == [{"version": "6.1.0", "files": 12}]
    assert streams["error"] == [{"error": "out of memory"}, {"error": "no such file"}]
    ((key, size),) = streams["specimen"]
    assert re.fullmatch(rf"specimen/{language}/\d{{4}}/\d\d/\d\d/specimen\.\d+\.bin", key)
    assert size == 100_000


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
        if not path.name.startswith(("admin", "page"))  # the operators' listener, which docs/watching.md is about
    )
    names = set(re.findall(r'(?:Problem\(\s*\d+,\s*|bad_request\(\s*)"([a-z-]+)"', source))
    names |= set(re.findall(r'(?:unavailable|Refusal|SpoolUnavailable)\(\s*"([a-z_]+)"', source))
    assert len(names) > 20
    for name in sorted(names):
        assert f"`{name}`" in HTTP, name
