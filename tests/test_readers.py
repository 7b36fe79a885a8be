"""Every kind of object the gateway makes is read, to the last line, by the readers its users have."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from lf6gateway.stores.memory import MemoryStore
from lf6gateway.stores.store import Body, Slice
from tests.deferreds import result_of
from tests.test_growth import KEY, Disk

GO = """package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	reader, err := gzip.NewReader(file)
	if err != nil {
		panic(err)
	}
	lines := bufio.NewReader(reader)
	count, size := 0, 0
	for {
		line, err := lines.ReadBytes('\\n')
		size += len(line)
		if err != nil {
			break
		}
		count++
	}
	fmt.Println(count, size)
}
"""
LINES = [
    b'{"n":1,"t":"plain"}\n',
    '{"n":2,"t":"Grüße, 日本語, \\ud83d\\ude00"}\n'.encode(),
    b'{"n":3,"t":"' + b"x" * 300_000 + b'"}\n',
    b'{"n":4,"big":123456789012345678901234567890,"e":1e400}\n'.replace(b',"e":1e400', b""),
    b'{"n":5,"a":[[[{"b":null}]]]}\n',
]


def _foreign(disk: Disk) -> None:
    other = Path(disk.root).parent / "other.gz"
    other.write_bytes(gzip.compress(b'{"n":0,"t":"of a Go gateway"}\n'))
    body = Body((Slice(str(other), 0, other.stat().st_size),))
    result_of(disk.store.put(KEY, body, metadata={}, content_type="application/gzip"))


def made(tmp_path: Path, kind: str) -> tuple[Path, list[bytes]]:
    """An object in a file, and its lines."""
    store = MemoryStore()
    store.without(append_min=1 if kind == "appended" else 1 << 40)
    disk = Disk(tmp_path / "disk", store, "a" * 16)
    front = []
    if kind == "behind a foreign one":
        _foreign(disk)
        front = [b'{"n":0,"t":"of a Go gateway"}\n']
    lines = LINES[:1] if kind == "one member" else LINES
    for number, line in enumerate(lines):
        disk.seal(line)
        if kind in ("grown", "appended", "behind a foreign one"):
            assert disk.ship()
        if kind == "rebuilt" and number == 2:
            assert disk.ship()
            assert result_of(disk.hour.settle(over=False))
            disk.start()
    assert disk.ship()
    path = tmp_path / "2025112416.host.jsonl.gz"
    path.write_bytes(store.objects[KEY].data)
    return path, front + lines


KINDS = ["one member", "many at once", "grown", "appended", "rebuilt", "behind a foreign one"]


@pytest.fixture(scope="module")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Go's own gzip reader as a program; ``None`` where there is no Go."""
    if shutil.which("go") is None:
        return None
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    program = folder / "reader"
    subprocess.run(["go", "build", "-o", program, "main.go"], cwd=folder, check=True)
    return program


@pytest.mark.parametrize("kind", KINDS)
def test_python_zcat_and_duckdb_read_every_line(tmp_path: Path, kind: str) -> None:
    path, lines = made(tmp_path, kind)
    assert gzip.decompress(path.read_bytes()) == b"".join(lines)
    with gzip.open(path) as stream:
        assert list(stream) == lines
    assert subprocess.run(["zcat", path], capture_output=True, check=True).stdout == b"".join(lines)
    query = f"select count(*), sum(n) from read_json('{path}', format='newline_delimited', maximum_object_size=1000000)"
    assert duckdb.sql(query).fetchall() == [(len(lines), sum(json.loads(line)["n"] for line in lines))]


@pytest.mark.parametrize("kind", KINDS)
def test_go_reads_every_line(tmp_path: Path, kind: str, go_reader: Path | None) -> None:
    if go_reader is None:
        pytest.skip("there is no `go` on this machine, so Go's gzip reader is not tried")
    path, lines = made(tmp_path, kind)
    said = subprocess.run([go_reader, path], capture_output=True, text=True, check=True).stdout.split()
    assert said == [str(len(lines)), str(sum(map(len, lines)))]
