"""The layers hold: imports point down only, the lowest layer is pure, and no module grows beyond one idea."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lf6gateway"
LAYERS = ("values", "disk", "stores", "services", "edges")
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 450

CLIENT = "lf6gateway.client"
"""What senders import; it stands beside the layers and is used without them."""

IMPURE = {
    "asyncio", "fcntl", "http", "io", "multiprocessing", "os", "pathlib", "select", "selectors", "shutil", "signal", "socket",
    "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "twisted.application", "twisted.internet",
    "twisted.logger", "twisted.python.log", "twisted.web", "treq", "botocore",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}


def name_of(module: Path) -> str:
    parts = module.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import; name the whole path"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def height(name: str) -> int | None:
    """The place of a module in the order of the layers; ``None`` for what stands beside them: version and the face."""
    parts = name.split(".")
    if len(parts) == 1 or parts[1] in ("testing", "__main__"):
        return len(LAYERS)
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else None


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_imports_point_down(module: Path) -> None:
    own = height(name_of(module))
    for line, name in imports(module):
        if name.split(".")[0] != "lf6gateway" or own is None:
            continue
        # ``from lf6gateway import x`` may name the face's own version, or a layer.
        other = height(name) if name.split(".")[1:] != ["__version__"] else None
        assert other is None or other <= own, f"{module}:{line}: {name_of(module)} imports {name}, which is above it"


def test_what_stands_beside_the_layers_imports_none_of_them() -> None:
    beside = [module for module in MODULES if height(name_of(module)) is None]
    names = {name_of(module) for module in beside}
    assert {name for name in names if not is_within(name, CLIENT)} == {"lf6gateway.version"}
    assert CLIENT in names
    for module in beside:
        for line, name in imports(module):
            if name.split(".")[0] != "lf6gateway":
                continue
            assert is_within(name, CLIENT) or name == "lf6gateway.version.__version__", f"{module}:{line}: {name}"
    assert not list(imports(PACKAGE / "version.py"))


def test_the_client_needs_nothing_but_the_standard_library_save_on_twisted() -> None:
    for module in MODULES:
        if not is_within(name_of(module), CLIENT) or name_of(module).startswith(CLIENT + ".twisted"):
            continue
        for line, name in imports(module):
            first = name.split(".")[0]
            assert first == "lf6gateway" or first in sys.stdlib_module_names, f"{module}:{line}: {name}"
            assert not name.startswith(CLIENT + ".twisted"), f"{module}:{line}: {name}"
    loaded = "import sys, lf6gateway, lf6gateway.client; print(*(name.split('.')[0] for name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    strangers = set(run.stdout.split()) & {
        "twisted",
        "treq",
        "botocore",
        "attr",
        "attrs",
        "msgspec",
        "pydantic",
        "yaml",
    }
    assert not strangers


@pytest.mark.parametrize("module", [one for one in MODULES if "values" in one.parts], ids=name_of)
def test_values_are_pure(module: Path) -> None:
    for line, name in imports(module):
        for impure in IMPURE:
            assert name != impure and not name.startswith(impure + "."), f"{module}:{line}: values import {name}"
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in CLOCKS, f"{module}:{node.lineno}: values read a clock"
            assert not (called in ("open", "print", "input") and isinstance(node.func, ast.Name)), (
                f"{module}:{node.lineno}: values do input or output"
            )


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_module_says_what_it_is(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))), f"{module} has no docstring"


def test_no_module_is_longer_than_one_idea() -> None:
    lengths = {name_of(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    for module in MODULES:
        for part in module.stem.split("_"):
            assert part not in {"utils", "util", "helpers", "helper", "manager", "misc", "common"}, module


def test_every_folder_is_a_layer() -> None:
    folders = {module.parent.relative_to(PACKAGE).as_posix() for module in MODULES}
    assert folders == {".", *LAYERS, "client", "edges/commands"}
