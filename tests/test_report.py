"""A report's figures and forms: which errors are the same, what is forgotten where there is too much, and that nothing
which comes from records is obeyed by a browser or a terminal."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lf6gateway.values.bar_chart import MOST_BARS, bar_chart, gathered, nice_ceiling, text_bar
from lf6gateway.values.delivered import Delivered, delivered
from lf6gateway.values.field_path import find_text, parse_path
from lf6gateway.values.fingerprint import ErrorFields, alike, fingerprint, frames_alike
from lf6gateway.values.printable import columns, json_for_terminal, printable, size_text, width
from lf6gateway.values.report import report_of
from lf6gateway.values.report_html import report_html
from lf6gateway.values.report_text import report_text
from lf6gateway.values.specimen_key import specimen_key
from lf6gateway.values.stream import Stream
from lf6gateway.values.tally import Fields, Tally, TallyReader
from lf6gateway.values.top import Top
from lf6gateway.values.window import Window
from tests.test_unpack import packed, unpacker

FIELDS = Fields(
    (("version",), ("app", "version")),
    ErrorFields((("type",),), (("message",), ("error", "message")), (("stack",),)),
)
RECORDS = delivered(Stream.ERROR, "error/", "error/2026/11/25/13/2026112513.test-host.jsonl.gz", 100, "", 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 30 s", "timeout after 3000 s"),
        ("cannot open /home/alice/a.psd", "cannot open /srv/data/x/b.psd"),
        (r"cannot open C:\Users\a\x.psd", r"cannot open D:\b\y.psd"),
        ("no key 'a b'", "no key 'c'"),
        ('no file "x"', 'no file "some other"'),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174fff"),
        ("at 0xdeadbeef", "at 0x1"),
        ("to 10.0.0.1:80 refused", "to 192.168.1.10:8080 refused"),
        ("GET https://a.example/x?y=1 failed", "GET http://b.example/ failed"),
        ("mail to a@b.example", "mail to longer.name@c.example"),
        ("since 2026-11-25T13:40:00Z", "since 2025-01-01 00:00:00.123"),
        ("commit deadbeef01 broke", "commit 0123abcdef broke"),
        ("too   many\tblanks", "too many blanks"),
    ],
)
def test_messages_that_differ_in_particulars_alone_are_one(one: str, other: str) -> None:
    assert alike(one) == alike(other)
    assert alike(one) != alike("out of memory")


def test_different_messages_stay_apart() -> None:
    texts = [
        "can't open it",
        "don't open it",
        "utf8 failed",
        "utf16 failed",
        "out of memory",
        "and/or",
        "error E1",
        "error E2",
    ]
    assert len({alike(text) for text in texts}) == len(texts)


def test_stacks_count_without_lines_addresses_and_folders() -> None:
    one = 'File "/usr/lib/a.py", line 3, in f\n  at g (C:\\x\\b.js:10:4)\n  0x7f lib.so+0x1f'
    other = 'File "/opt/venv/a.py", line 99, in f\n  at g (/srv/b.js:7:1)\n  0x7f lib.so+0xff'
    assert frames_alike(one) == frames_alike(other)
    assert frames_alike(one) != frames_alike(one.replace("in f", "in h"))
    record = {"type": "E", "message": "m", "stack": one}
    assert fingerprint(record, FIELDS.errors) == fingerprint({**record, "stack": other}, FIELDS.errors)
    assert fingerprint(record, FIELDS.errors).title == "E: m"
    assert fingerprint({"error": {"message": "m 1"}}, FIELDS.errors).title == "m <n>"


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "message", "error", "stack", "x"]), inner, max_size=4)
        ),
    )
)
def test_any_record_has_a_fingerprint_or_none(record: Any) -> None:
    found = fingerprint(record, FIELDS.errors)
    assert (found.id == "") == (
        find_text(record, [*FIELDS.errors.kind, *FIELDS.errors.message, *FIELDS.errors.stack]) is None
    )
    assert len(found.title) <= 200


def test_fields() -> None:
    assert find_text({"app": {"version": 6.5}}, FIELDS.version) == "6.5"
    assert find_text({"app.version": "7"}, [parse_path("app.version")]) == "7"
    assert find_text({"a": ["x", "y"]}, [("a",)]) == "x\ny"
    assert find_text({"a": {}, "b": False}, [("a",), ("b",)]) == "false"
    assert find_text([1], FIELDS.version) is None
    with pytest.raises(ValueError, match=r"app\.version"):
        parse_path("a..b")


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=400), st.integers(1, 20))
def test_counts_are_never_too_high_and_at_most_that_much_too_low(keys: list[int], most: int) -> None:
    top: Top[int] = Top(most)
    for key in keys:
        top.add(key)
    counted = dict(top.items())
    assert len(counted) < 2 * most
    for key in set(keys):
        assert counted.get(key, 0) <= keys.count(key) <= counted.get(key, 0) + top.missed
    assert top.exact or len(set(keys)) >= 2 * most


def tally_of(lines: bytes) -> Tally:
    assert isinstance(RECORDS, Delivered)
    reader = TallyReader(RECORDS, FIELDS, 1, unpacker(False), 1 << 20)
    assert [*reader.feed(packed(lines)), *reader.end()] == []
    return reader.tally


def envelope(user: str, data: bytes, number: int = 1) -> bytes:
    return (
        b'{"received_at":"2026-11-25T13:00:00.000000000Z","user":%s,"id":"%032x-0000000000","host":"h","data":%s}\n'
        % (json.dumps(user).encode(), number, data)
    )


def facts(tally: Tally) -> dict[str, Any]:
    return report_of(tally, places="s3://b/<x>", window=Window(), host=None, now_ns=1_795_614_665_000_000_000, most=10)


def test_what_is_counted() -> None:
    tally = Tally()
    for user in ("alice", "alice", "bob"):
        tally.merge(
            tally_of(envelope(user, b'{"message":"bad 7","version":"1"}') * 2 + b'{"app":{"version":"2"}}\n[]\n')
        )
    key = specimen_key("s/", "alice", "a.PNG", 1_795_614_665_035_864_959)
    specimen = delivered(Stream.SPECIMEN, "s/", key, 7, "", 0)
    assert specimen is not None
    tally.specimen(specimen)
    found = facts(tally)
    assert found["streams"]["error"]["records"] == 12
    assert found["versions"] == [
        {"stream": "error", "version": "1", "records": 6},
        {"stream": "error", "version": "2", "records": 3},
    ]
    (error,) = found["errors"]
    assert (error["title"], error["count"], error["users"], error["times"]) == ("bad <n>", 6, 2, [6])
    assert found["users"][0] == {"user": "alice", "usage": 0, "error": 4, "specimen": 1}
    assert found["specimen_kinds"] == [{"ending": "png", "specimens": 1}]
    assert any("6 of 12 records do not tell their user" in note for note in found["notes"])
    assert any("6 error reports have none of the fields" in note for note in found["notes"])


def test_memory_is_bounded_however_many_different_things_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lf6gateway.values.tally.ERRORS_KEPT", 20)
    monkeypatch.setattr("lf6gateway.values.tally.USERS_COUNTED", 5)
    tally = Tally()
    for number in range(50):
        letters = "".join(chr(97 + number // 26**place % 26) for place in range(3))
        lines = b"".join(
            envelope(f"u{number}-{at}", b'{"message":"%s %s"}' % (letters.encode(), bytes([97 + at]) * 3))
            for at in range(20)
        )
        tally.merge(tally_of(lines + envelope(f"u{number}", b'{"message":"always"}') * 30))
    assert len(tally.seen) <= 41 and len(tally.errors) < 40
    (first, *_) = facts(tally)["errors"]
    assert (first["title"], first["count"], first["users"]) == ("always", 1500, 5)
    assert any("too many different errors" in note for note in facts(tally)["notes"])


class Strict(HTMLParser):
    """What a browser would see: every element and attribute."""

    KNOWN = frozenset(
        [
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "h2",
            "p",
            "ul",
            "li",
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "br",
            "code",
            "svg",
            "line",
            "text",
            "rect",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.KNOWN, tag
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("href", "src", "style")]

    def handle_data(self, data: str) -> None:
        self.text += data


EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[2J\u202e\x07</title></style></svg>'


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40) | st.just(EVIL))
def test_nothing_of_a_record_is_obeyed(text: str) -> None:
    text = text.replace("\n", " ").encode("utf-8", "replace").decode()
    data = json.dumps({"type": text, "message": text, "version": text}).encode()
    report = facts(tally_of(envelope(text, data)))
    page = Strict()
    page.feed(report_html(report))
    page.close()
    for shown in (page.text, report_text(report)):
        assert all(one.isprintable() or one == "\n" for one in shown.replace("\n", "\n"))
    assert "default-src 'none'" in report_html(report)


def test_charts() -> None:
    assert [nice_ceiling(value) for value in (0, 1, 3, 11, 21, 99, 501)] == [1, 1, 5, 20, 50, 100, 1000]
    series = [(str(number), number) for number in range(1000)]
    assert len(gathered(series)) == MOST_BARS
    assert sum(count for _, count in gathered(series)) == sum(count for _, count in series)
    assert bar_chart("t", series).count("<rect") == MOST_BARS
    assert "<rect" not in bar_chart("t", [])
    assert (text_bar(0, 10), text_bar(1, 10_000), text_bar(10, 10, 4)) == ("", "▏", "████")


def test_columns_and_sizes() -> None:
    assert columns([("a", "12"), ("日本", "3")], {1}) == ["a     12", "日本   3"]
    assert width("e\u0301") == 1
    assert printable("a\x1b\u202e\ud800b") == "a\\x1b\\u202e\\ud800b"
    record = '{"a":"\u009b2J\x7f\u202e\u200bö日\t"}'
    shown = json_for_terminal(record.encode() + b"\n\x1b").decode()
    assert shown == '{"a":"\\u009b2J\\u007f\\u202e\\u200bö日\t"}\n\\u001b'
    assert json.loads(shown.split("\n")[0], strict=False) == json.loads(record, strict=False)
    assert printable("abcdef", 4) == "abc…"
    assert [size_text(size) for size in (0, 999, 1000, 1024, 1 << 20, 150 << 20, 1 << 60)] == [
        "0 B", "999 B", "1.0 KiB", "1.0 KiB", "1.0 MiB", "150 MiB", "1048576 TiB",
    ]  # fmt: skip
