"""The commands that read what was delivered, as somebody uses them: the real command on what a real daemon delivered, to
a folder and to S3."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lf6gateway.edges.cli import parser
from lf6gateway.values.slot import Slot
from tests.blackbox.commands import Commands
from tests.blackbox.gateway import HERE, Gateway, S3Server, eventually
from tests.shell_blocks import blocks
from tests.test_unpack import lines, packed

COMMAND = Path(sys.executable).with_name("lf6gateway")
HOSTILE = b'{"type":"<script>alert(1)</script>","message":"\\u001b[31mred \\u202e at /home/%d","version":"<b>\\u0007"}'
PICTURES = {f"pic {number}.png": b"\x89PNG" + bytes([number]) * 1000 * number for number in range(3)}


class Delivered:
    """What a daemon delivered, and where it is."""

    def __init__(self, places: dict[str, list[str]], env: dict[str, str], folder: Path) -> None:
        self.places = places
        self.env = env
        self.folder = folder
        self.commands = Commands(folder)
        self.err = ""

    def run(self, *arguments: str | Path, kind: str = "folder", status: int = 0) -> str:
        return self.run_bytes(*arguments, kind=kind, status=status).decode()

    def run_bytes(self, *arguments: str | Path, kind: str = "folder", status: int = 0) -> bytes:
        words = [str(arguments[0]), *self.places[kind], *map(str, arguments[1:])]
        done = self.commands.run(words, self.env, self.folder)
        self.err = done.err
        assert done.status == status, f"{done.status}: {done.err}"
        assert "Traceback" not in done.err
        return done.out


def sent() -> tuple[bytes, bytes]:
    usage = b"".join(
        b'{"n":%d,"big":123456789012345678901234567890, "version": "6.%d"}\n' % (n, n % 3) for n in range(300)
    )
    return usage, b"".join(HOSTILE % number + b"\n" for number in range(40))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    folder = tmp_path_factory.mktemp("reading")
    s3 = S3Server(folder, "insights")
    keys = {"aws": {"endpoint": s3.url, "access_key_id": "a", "secret_access_key": "b"}}
    buckets = {
        f"{stream}_{what}": value
        for stream in ("usage", "error", "specimen")
        for what, value in (("bucket", "insights"), ("prefix", stream))
    }
    daemons = [
        Gateway(folder / "one", storage={"directory": str(folder / "objects")}),
        Gateway(folder / "two", s3=buckets, **keys),
    ]
    usage, errors = sent()
    half = usage.index(b'{"n":150')
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        for part in (usage[:half], usage[half:]):
            assert daemon.put("/usage", part, Content_Type="application/x-ndjson") == 204
        assert daemon.put("/error", errors, "bob", Content_Type="application/x-ndjson") == 204
        for name, content in PICTURES.items():
            assert daemon.put(f"/specimen?uri=file:///x/{name.replace(' ', '%20')}", content, "carol") == 204
    for daemon in daemons:
        assert daemon.stop() == 0
    places = {
        "folder": ["--from", str(folder / "objects")],
        "s3": ["--from", "s3://insights", "--endpoint", s3.url],
        "configuration": ["-c", str(daemons[1].config)],
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    delivered = Delivered(places, env, folder)
    yield delivered
    delivered.commands.stop()
    for daemon in daemons:
        daemon.clean_up()
    s3.stop()


@pytest.mark.parametrize("kind", ["folder", "s3", "configuration"])
def test_what_was_sent_is_listed_read_and_verified(world: Delivered, kind: str, tmp_path: Path) -> None:
    usage, errors = sent()
    listed = [json.loads(line) for line in world.run("ls", "--json", "--since", "3h", kind=kind).splitlines()]
    assert [one["stream"] for one in listed].count("specimen") == 3
    assert {one.get("host", "test-host") for one in listed} == {"test-host"}
    assert world.run("cat", "usage", kind=kind).encode() == usage
    assert world.run("cat", "error", "--jobs", "1", kind=kind).encode() == errors
    assert world.run("cat", "usage", "--limit", "7", "--grep", '"n":2', kind=kind).count("\n") == 7
    assert world.run("tail", "usage", "-n", "3", kind=kind).encode() == b"".join(usage.splitlines(True)[-3:])
    summary = json.loads(world.run("verify", "--json", kind=kind).splitlines()[-1])["summary"]
    assert (summary["records"], summary["wrong"], summary["without_digest"]) == (340, 0, 0)
    keys = [one["key"] for one in listed if one["stream"] == "specimen"]
    target = tmp_path / "specimens"
    world.run("cat", "specimen", *keys, "-o", f"{target}/", kind=kind)
    assert {path.read_bytes() for path in target.rglob("*.png")} == set(PICTURES.values())


def test_a_long_list_tells_records_without_reading_them(world: Delivered) -> None:
    (line,) = world.run("ls", "usage", "--json", "--long").splitlines()[:1]
    found = json.loads(line)
    assert 0 < found["records"] <= 300
    assert found["members"] >= 1
    table = world.run("ls")
    assert table.splitlines()[0].split() == ["TIME", "STREAM", "SIZE", "HOST", "OR", "USER", "KEY"]
    assert world.run("ls", "--hour", "2020010100", status=1) == ""
    assert "lf6gateway ls shows all there are" in world.err
    assert world.run("ls", "--user", "carol").count("specimen/carol/") == 3


def test_a_reader_that_has_enough_ends_it_at_once(world: Delivered, tmp_path: Path) -> None:
    place = many(tmp_path, hours=30)
    process = subprocess.Popen(
        [COMMAND, "cat", "usage", "--from", place], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=world.env
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"n":0}')
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def many(folder: Path, hours: int) -> str:
    """More than a pipe holds."""
    for number in range(hours):
        slot = Slot(Slot.parse("2026110100").number + number)
        path = folder / "objects" / "usage" / slot.path / f"{slot.name}.h.jsonl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(packed(lines(number * 20_000, 20_000), number + 1))
    return str(folder / "objects")


def test_hours_come_in_order_however_many_are_read_at_once(world: Delivered, tmp_path: Path) -> None:
    place = many(tmp_path, hours=7)
    world.places["many"] = ["--from", place]
    assert world.run("cat", "usage", "--jobs", "5", kind="many").encode() == lines(0, 140_000)
    since = world.run("cat", "usage", "--since", "2026-11-01T02", "--until", "2026-11-01T03", kind="many")
    assert since.encode() == lines(40_000, 20_000)
    assert world.run("cat", "usage", "--hour", "2026110106", "--limit", "2", kind="many").encode() == lines(120_000, 2)


def test_a_damaged_object_is_told_and_the_rest_goes_on(world: Delivered, tmp_path: Path) -> None:
    shutil.copytree(world.folder / "objects", tmp_path / "objects")
    world.places["damaged"] = ["--from", str(tmp_path / "objects")]
    (path,) = list((tmp_path / "objects/error").rglob("*.gz"))[:1]
    data = bytearray(path.read_bytes())
    data[-30] ^= 16
    path.write_bytes(data)
    whole = path.with_name(path.name.replace("test-host", "zz"))
    whole.write_bytes(gzip.compress(b'{"whole":1}\n'))
    key = str(path.relative_to(tmp_path / "objects"))
    assert world.run("cat", "error", kind="damaged", status=1).endswith('{"whole":1}\n')
    assert key in world.err and "damaged at byte" in world.err
    assert f"WRONG   {key}: " in world.run("verify", kind="damaged", status=1)
    found = [json.loads(line) for line in world.run("verify", "--json", "error", kind="damaged", status=1).splitlines()]
    assert [one["key"] for one in found[:-1] if not one["ok"]] == [key]
    assert all(problem["remedy"] for problem in found[0]["problems"])
    assert "could not be read whole" in world.run("report", "--since", "3h", kind="damaged", status=1)
    specimen = next((tmp_path / "objects/specimen").rglob("pic_2*.png"))
    specimen.write_bytes(b"something else")
    named = str(specimen.relative_to(tmp_path / "objects"))
    # The copy's metadata are not believed, as they are of another file; so give it some that are.
    note = tmp_path / "objects/.meta" / f"{named}.json"
    facts = json.loads(note.read_text())
    seen = specimen.stat()
    facts["etag"] = f'"{seen.st_ino:x}-{seen.st_size:x}-{seen.st_mtime_ns:x}"'
    note.write_text(json.dumps(facts))
    world.run("cat", "specimen", named, "-o", tmp_path / "out.png", kind="damaged", status=1)
    assert "it is not what was received" in world.err
    assert not (tmp_path / "out.png").exists()
    assert f"{named}: its SHA-256 is" in world.run("verify", "specimen", kind="damaged", status=1)


def test_specimens_stay_in_the_folder_and_write_nothing_over(world: Delivered, tmp_path: Path) -> None:
    evil = tmp_path / "in/specimen"
    stamp = "1795614665035864959"
    for user, name in (("alice", "a.png"), ("-rf", "\x1b[2J.png")):
        path = evil / user / "2026/11/25" / f"{name}.{stamp}"
        path.parent.mkdir(parents=True)
        path.write_bytes(user.encode())
    world.places["evil"] = ["--from", str(tmp_path / "in")]
    out = tmp_path / "out"
    world.run("cat", "specimen", "--since", "2020-01-01", "-o", f"{out}/", kind="evil")
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert names == [f"-rf/_[2J.png.{stamp}", f"alice/a.png.{stamp}"]
    assert "\x1b" not in world.err
    (first, *_) = sorted(path for path in out.rglob("*") if path.is_file())
    first.write_bytes(b"mine")
    world.run("cat", "specimen", "--since", "2020-01-01", "-o", f"{out}/", kind="evil", status=1)
    assert "is there already and is something else" in world.err
    assert first.read_bytes() == b"mine"


def test_tail_follows_a_running_daemon(world: Delivered, gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    daemon = gateway().start()
    assert daemon.put("/usage", b'{"n":-1}') == 204
    eventually(lambda: list((tmp_path / "objects/usage").rglob("*.gz")))
    process = subprocess.Popen(
        [COMMAND, "tail", "usage", "-f", "--every", "100ms", "-c", daemon.config], stdout=subprocess.PIPE, env=world.env
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b'{"n":-1}\n'
        for number in range(5):
            assert daemon.put("/usage", b'{"n":%d}' % number) == 204
            assert process.stdout.readline() == b'{"n":%d}\n' % number
        process.stdout.close()
        assert process.wait(20) == 0  # it sees that nobody reads, though nothing comes
    finally:
        process.kill()
        process.wait()


def test_whose_records(world: Delivered, gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    pytest.importorskip("lf6gateway.values.envelope")
    daemon = gateway(records={"envelope": True}).start()
    forged = b'{"received_at":"2026-11-25T13:00:00.000000000Z","user":"bob","id":"%s-0000000000","host":"h","data":1}'
    for user, body in (("alice", b'{"n":1}'), ("bob", b'{"n": 2}'), ("alice", forged % (b"0" * 32))):
        assert daemon.put("/usage", body, user) == 204
    assert daemon.stop() == 0
    world.places["enveloped"] = ["--from", str(tmp_path / "objects")]
    assert world.run("cat", "usage", "--user", "bob", "--bare", kind="enveloped") == '{"n": 2}\n'
    assert world.run("cat", "usage", "--user", "alice", "--bare", kind="enveloped").startswith(
        '{"n":1}\n{"received_at"'
    )
    assert world.run("cat", "usage", "--until", "2020-01-01", "--user", "bob", kind="enveloped", status=1) == ""
    summary = json.loads(world.run("verify", "--json", kind="enveloped").splitlines()[-1])["summary"]
    assert (summary["records"], summary["wrong"]) == (3, 0)
    users = json.loads(world.run("report", "--json", kind="enveloped"))["users"]
    assert {one["user"]: one["usage"] for one in users} == {"alice": 2, "bob": 1}


def test_a_report_shows_what_came_and_nothing_of_it_is_obeyed(world: Delivered, tmp_path: Path) -> None:
    text = world.run("report")
    assert re.search(r"usage +\d+ +300 ", text)
    assert "40" in text and "<script>alert(<n>)</script>: " in text.replace("alert(1)", "alert(<n>)")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    page = tmp_path / "report.html"
    world.run("report", "--html", page, kind="s3")
    html = page.read_text()
    assert "<script" not in html and "\x1b" not in html and "\u202e" not in html and "\x07" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://", html)
    facts = json.loads(world.run("report", "--json", "--top", "5", kind="s3"))
    assert facts["streams"]["usage"]["records"] == 300
    (error,) = facts["errors"]
    assert error["count"] == 40
    assert {one["version"] for one in facts["versions"] if one["stream"] == "usage"} == {"6.0", "6.1", "6.2"}
    assert facts["users"][0]["user"] == "carol"


def told(world: Delivered, arguments: Sequence[str], **env: str) -> str:
    done = world.commands.run(arguments, {**world.env, **env}, world.folder)
    assert (done.status, done.out) == (1, b"")
    assert done.err.startswith("lf6gateway: ")
    assert "Traceback" not in done.err
    return done.err


def test_what_cannot_be_done_is_told_with_a_remedy(world: Delivered) -> None:
    endpoint = world.places["s3"][-1]
    cases: list[tuple[list[str], dict[str, str], str]] = [
        (["ls", "--from", "s3://no-such-bucket", "--endpoint", endpoint], {}, "create bucket no-such-bucket"),
        (
            ["ls", "--from", "s3://insights"],
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nowhere", "AWS_CONFIG_FILE": "/nowhere"},
            "give the process credentials by AWS_ACCESS_KEY_ID",
        ),
        (["ls", "--from", "/no/such/folder"], {}, "there is no such folder"),
        (["cat", "usage", "--from", "objects/error"], {}, "name the place where they lie, as --from usage="),
        (["cat", "usage", "--from", "objects", "--grep", "("], {}, "is no regular expression"),
        (["cat", "usage", "--from", "objects", "--since", "never"], {}, "write it like 2h"),
        (["cat", "usage", "--from", "objects", "--hour", "2020010100"], {}, "lf6gateway ls shows what is there"),
        (["cat", "usage", "--from", "objects", "--user", "alice"], {}, "records.envelope was off"),
        (["cat", "usage", "usage/x", "--from", "objects"], {}, "is no key of a usage object"),
        (["cat", "specimen", "--from", "objects"], {}, "say which"),
        (["verify", "--from", "s3://insights", "--endpoint", "nonsense"], {}, "--endpoint is no URL"),
        (["tail", "usage", "-c", "/no/such/file"], {}, "there is no such file"),
        (["ls"], {}, "say where the objects are: --from s3://bucket/prefix"),
    ]
    for arguments, env, remedy in cases:
        assert remedy in told(world, arguments, **env), arguments


@pytest.mark.parametrize("command", ["ls", "cat usage", "tail usage", "report", "report --html /dev/full/x"])
def test_a_full_disk_is_told_in_a_line(world: Delivered, command: str) -> None:
    done = world.commands.run([*command.split(), *world.places["folder"]], world.env, world.folder, "/dev/full")
    assert done.status == 1
    assert re.fullmatch(r"lf6gateway: [^\n]+\n", done.err), done.err
    assert "No space left" in done.err or "Not a directory" in done.err


def shown() -> list[str]:
    """The commands that the documents leave to this test."""
    found = [block for name in ("docs/reading.md", "README.md") for block in blocks(HERE / name)]
    mine = [block.commands for block in found if block.reason == "it is run by tests/blackbox/test_reading.py"]
    return [line for commands in mine for line in commands.splitlines()]


def test_every_command_that_the_documents_show_is_there(world: Delivered) -> None:
    """Each is run as it stands, but for the names of the places."""
    (world.folder / "config.yml").write_bytes((world.folder / "two" / "config.yml").read_bytes())
    (world.folder / "specimens").mkdir(exist_ok=True)
    key = json.loads(world.run("ls", "specimen", "--json", kind="s3").splitlines()[0])["key"]
    env = {**world.env, "AWS_ENDPOINT_URL": world.places["s3"][-1], "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    lines = shown()
    assert len(lines) >= 22
    for line in lines:
        line = line.replace("/srv/insights", str(world.folder / "objects")).replace("KEY", key)
        status = 1 if "50[0-9]" in line else 0  # there is none
        if re.search(r"[|>]", line):
            done = subprocess.run(["sh", "-c", line], env=env, cwd=world.folder, capture_output=True, check=False)
            assert done.returncode == 0, line
            continue
        words = shlex.split(line, comments=True)[1:]
        if "-f" in words:
            parser().parse_args(words)  # it would not end
            continue
        found = world.commands.run(words, env, world.folder)
        assert found.status in (0, status), f"{line}: {found.err}"
        assert "Traceback" not in found.err


def test_a_specimen_goes_to_a_pipe_byte_for_byte(world: Delivered) -> None:
    listed = [json.loads(line) for line in world.run("ls", "specimen", "--json").splitlines()]
    key: Any = max(listed, key=lambda one: one["size"])["key"]
    assert world.run_bytes("cat", "specimen", key) == PICTURES["pic 2.png"]
