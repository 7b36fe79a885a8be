"""Users, uris and everything else that is named by a sender, on its way to a key, to metadata and to a log: path escapes,
odd Unicode, control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.blackbox.gateway import Gateway as Process
from tests.blackbox.gateway import S3Server, eventually
from tests.blackbox.test_running import stored
from tests.hostile.channels import Channel
from tests.hostile.test_catalogue import talk
from tests.http_support import read_replies, request

REFUSED_USERS = {
    "dot": b".",
    "dot dot": b"..",
    "up and away": b"../../etc/passwd",
    "a slash": b"a/b",
    "an absolute path": b"/etc/passwd",
    "a backslash": b"..\\..\\x",
    "a drive": b"C:\\x",
    "an overlong slash": b"..\xc0\xaf..\xc0\xafx",
    "an overlong dot": b"\xc0\xae\xc0\xae",
    "an overlong slash of three bytes": b"a\xe0\x80\xafb",
    "half a surrogate pair": b"a\xed\xa0\x80b",
    "beyond Unicode": b"a\xf4\x90\x80\x80",
    "half a character": b"a\xe3\x81",
    "Latin-1": b"caf\xe9",
    "a C1 control": b"a\xc2\x9bb",
    "a next line": b"a\xc2\x85b",
    "129 characters": b"x" * 129,
    "10 KiB": b"x" * 10_240,
}
TAKEN_USERS = {
    "right to left": "\u202eecila",
    "Hebrew": "דוד",
    "joined": "👩\u200d💻",
    "128 of four bytes": "😀" * 128,
    "combining": "a" + "\u0301" * 20,
    "a line separator": "a\u2028b",
    "a Windows device": "CON",
    "another": "NUL.txt",
    "a trailing dot": "alice.",
    "trailing dots": "alice...",
    "three dots": "...",
    "a hidden name": ".ssh",
    "our own folder": "_lf6",
    "the store's own folder": ".meta",
    "a tilde": "~root",
    "a drive": "C:",
    "a stream": "a:$DATA",
    "shell": "$(reboot)`reboot`;&|",
    "HTML": "<img src=x onerror=alert(1)>",
    "a format": "{request_id} %s %n {0}",
    "percent-encoded": "%2e%2e%2f",
    "spaces within": "a  b",
    "a byte order mark": "\ufeffx",
}
TAKEN_URIS = {
    "up and away": "../../../etc/passwd",
    "Windows": "C:\\..\\..\\boot.ini",
    "dots": "..",
    "only slashes": "////",
    "an absolute path": "/etc/passwd",
    "a NUL": "a\0b.png",
    "lines": "a\r\nx-amz-acl: public-read\r\n\r\nPUT / HTTP/1.1\r\n.png",
    "controls": "\x01\x1b[31m\x7f\x9b",
    "right to left": "file:///\u202egnp.exe",
    "a device": "file:///C:/CON",
    "another": "NUL",
    "a trailing dot": "file:///a.png.",
    "a trailing space": "file:///a.png ",
    "a stream": "a.txt::$DATA",
    "10 KiB": "file:///" + "a" * 10_000 + ".png",
    "10 KiB of an extension": "a." + "x" * 9_000,
    "4 KiB of Japanese": "file:///" + "写" * 1_000 + ".png",
    "a query": "http://a/b.png?x=../../y#z",
    "HTML": "<img src=x onerror=alert(1)>.png",
    "emoji": "💣.💥",
    "a format": "{0}%s%n.{request_id}",
    "hidden": ".bashrc",
    "combining": "e\u0301.png",
}
REFUSED_URIS = {
    "overlong": b"%C0%AE%C0%AE%C0%AFx",
    "half a surrogate pair": b"%ED%A0%80",
    "half a character": b"%E3%81",
    "Latin-1": b"caf%E9",
    "empty": b"",
    "two": b"a&uri=b",
}
_KEY = re.compile(r"(.*)/\d{4}/\d\d/\d\d/([A-Za-z0-9._-]+)")


def with_user(user: bytes, header: bytes = b"User-Token") -> bytes:
    return b"PUT /usage HTTP/1.1\r\nHost: a\r\n" + header + b": " + user + b"\r\nContent-Length: 1\r\n\r\n1"


def specimen(uri: bytes | str, *headers: bytes, user: bytes = b"alice") -> bytes:
    target = uri if isinstance(uri, bytes) else quote(uri, safe="").encode()
    lines = [b"PUT /specimen?uri=" + target + b" HTTP/1.1", b"Host: a", b"User-Token: " + user, b"Content-Length: 1"]
    return b"\r\n".join([*lines, *headers, b"", b"1"])


@pytest.mark.parametrize("user", REFUSED_USERS.values(), ids=REFUSED_USERS)
@pytest.mark.parametrize("header", [b"User-Token", b"USER_TOKEN"])
def test_a_user_that_leads_elsewhere_is_refused(channel: Channel, user: bytes, header: bytes) -> None:
    gateway = channel.gateway()
    reply = gateway.ask(with_user(user, header))
    assert reply.status == 400 and reply.problem["type"].endswith(":invalid-user")
    assert len(user) < 3 or user not in reply.body
    assert gateway.backend.usage.entries == []


@pytest.mark.parametrize("user", ["\0", "a\0b", "\x1b[2J", "a\x7f", "a\nb", "a\rb"])
def test_a_user_with_a_control_character_is_not_even_a_head(channel: Channel, user: str) -> None:
    gateway = channel.gateway()
    assert gateway.ask(with_user(user.encode())).status == 400
    assert gateway.backend.usage.entries == []


@pytest.mark.parametrize("user", TAKEN_USERS.values(), ids=TAKEN_USERS)
def test_an_odd_user_is_kept_as_it_is(channel: Channel, user: str) -> None:
    gateway = channel.gateway()
    assert gateway.ask(with_user(user.encode())).status == 204
    assert [entry.user for entry in gateway.backend.usage.entries] == [user]


@pytest.mark.parametrize("uri", REFUSED_URIS.values(), ids=REFUSED_URIS)
def test_a_uri_that_is_no_text_is_refused(channel: Channel, uri: bytes) -> None:
    reply = channel.gateway().ask(specimen(uri))
    assert reply.status == 400 and reply.problem["type"].endswith(":invalid-uri")


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(tmp_path, "insights")
    yield server
    server.stop()


def run(channel: Channel, folder: Path, sent: list[bytes], **config: object) -> Process:
    """A process that was sent everything, answered it with 204, and has stopped with nothing left."""
    process = Process(folder / "gateway", log={"level": "debug", "format": "json"}, **config, **channel.config).start()
    try:
        for data in sent:
            replies, rest = read_replies(talk(process.port, data))
            assert [reply.status for reply in replies] == [204, 200] and not rest, (data[:200], replies)
        assert process.stop() == 0
    finally:
        process.clean_up()
    assert eventually(lambda: not process.waiting_files())
    return process


SENDINGS = [specimen(uri) for uri in TAKEN_URIS.values()] + [
    specimen("file:///a.png", user=user.encode()) for user in TAKEN_USERS.values()
]


def test_what_reaches_s3_is_under_its_users_folder_with_plain_metadata(
    channel: Channel, s3: S3Server, tmp_path: Path
) -> None:
    types = [
        specimen("a.png", b"Content-Type: text/html\xe9; a=b"),
        specimen("a.png", b"Content-Type: a\tb"),
        specimen("a.png", b"Content-Type: " + b"x/" + b"y" * 500),
        specimen("a.png", b'Content-Type: text/plain; a="b"'),
    ]
    streams = ("usage", "error", "specimen")
    run(
        channel,
        tmp_path,
        [*SENDINGS, *types],
        aws={"endpoint": s3.url, "access_key_id": "a", "secret_access_key": "b"},
        s3={f"{one}_bucket": "insights" for one in streams} | {f"{one}_prefix": one for one in streams},
    )
    objects = s3.objects("insights")
    assert len(objects) == len(SENDINGS) + len(types)
    users, uris = [], []
    for key, body in objects.items():
        assert body == b"1"
        assert len(key.encode()) <= 1024 and key.startswith("specimen/")
        found = s3.client.head_object(Bucket="insights", Key=key)
        metadata = found["Metadata"]
        assert set(metadata) <= {"specimen-id", "sha256", "user", "user-cut", "uri", "uri-cut"}
        assert "x-amz-acl" not in found["ResponseMetadata"]["HTTPHeaders"]
        for value in (*metadata.values(), found["ContentType"]):
            assert value.isascii() and value.isprintable()
        assert sum(len(name) + len(value) for name, value in metadata.items()) <= 2048
        split = _KEY.fullmatch(key.removeprefix("specimen/"))
        assert split and "/" not in split[1]
        users.append(split[1])
        if "uri-cut" not in metadata:
            uris.append(metadata["uri"])
    assert sorted(users) == sorted([*TAKEN_USERS.values(), *["alice"] * (len(TAKEN_URIS) + len(types))])
    for uri in TAKEN_URIS.values():
        if len(quote(uri)) < 1_000:
            assert uri in uris or uri in map(unquote, uris), uri


def test_what_reaches_a_folder_stays_in_it(channel: Channel, tmp_path: Path) -> None:
    run(channel, tmp_path, SENDINGS, storage={"directory": str(tmp_path / "objects")})
    everything = {path.name for path in tmp_path.iterdir()}
    assert everything == {"objects", "gateway"}
    found = stored(tmp_path / "objects")
    assert len(found) == len(SENDINGS) and set(found.values()) == {b"1"}
    assert all(name.startswith("specimen/") for name in found)


def test_no_field_of_a_request_breaks_a_line_of_the_log(channel: Channel, tmp_path: Path) -> None:
    evil = b"\x85\xe2\x80\xa8\xc2\x9b31m {request_id} %s"
    sent = [
        request("PUT", "/usage", b"1", "X-Request-Id: a b", 'X-Request-Id: "}\\n{"level":"critical"', "Referer: {0}"),
        request("PUT", "/usage", b"1", "Idempotency-Key: {message}%s"),
        *[with_user(user.encode()) for user in TAKEN_USERS.values()],
    ]
    answered_otherwise = [
        with_user(evil + b"\xff"),
        request("PUT", "/us{age}/%0A%0D%1b[2J/{message}", b"1"),
        request("PUT", "/usage", b"1", "Content-Encoding: {x}\x9b").replace(b"\xc2\x9b", b"\x9b"),
        request("X{0}", "/usage", b"1"),
        request("PUT", "/specimen?uri=%00%0a%0d{uri}", b"{", "X-Request-Id: ../../x"),
    ]
    for form in ("json", "text"):
        folder = tmp_path / form
        folder.mkdir()
        process = Process(
            folder / "gateway",
            log={"level": "debug", "format": form},
            storage={"directory": str(folder / "objects")},
            **channel.config,
        ).start()
        try:
            for data in [*sent, *answered_otherwise]:
                talk(process.port, data)
            assert process.stop() == 0
        finally:
            process.clean_up()
        raw = process.log.read_bytes()
        text = raw.decode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)
        assert len(text.split("\n")) == len(text.splitlines()) + 1
        assert "Unable to format event" not in text
        for line in text.splitlines():
            if form == "json":
                json.loads(line)
            else:
                assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info |warn |error) \[", line), line
