"""Keys of objects and what stands beside them: the contract's spelling, and no uri that loses a specimen."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lf6gateway.values.object_key import LONGEST_KEY, clean_hostname, record_key
from lf6gateway.values.settings_fields import PREFIX_BYTES
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.specimen_key import content_type_of, specimen_key, specimen_metadata, split_name
from lf6gateway.values.username import check_username

METADATA_BYTES = 2048
"""What S3 takes of user-defined metadata: names and values together."""

NOON = int(datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
LONGEST_PREFIX = "p" * PREFIX_BYTES + "/"


def moment(*parts: int, ns: int = 0) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000_000 + ns  # type: ignore[misc,arg-type]


def metadata(uri: str, user: str = "ann") -> dict[str, str]:
    return specimen_metadata(uri=uri, user=user, identity="f" * 32, sha256="e" * 64)


def metadata_bytes(found: dict[str, str], before: str = "") -> int:
    return sum(len((before + name).encode()) + len(value.encode()) for name, value in found.items())


PIECES = ["/", "..", ".", "?", "#", "%", "%2F", "\\", "ü", "a", "\0", "\n", " ", "\U0001f600", "-", "_", "png", ":"]
URIS = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=4), st.integers(1, 3000)),
    st.builds(lambda name, ext: f"file:///{name}.{ext}", st.text(max_size=1200), st.text(max_size=400)),
)
USERS = st.one_of(
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1, max_size=128).filter(
        lambda name: name not in (".", "..")
    ),
    st.sampled_from(["a", "...", " ", "ü" * 128, "\U0001f600" * 128, "a" * 128]),
)
MOMENTS = st.integers(0, 9_000_000_000_000_000_000)


def test_an_hour_has_the_key_of_the_contract() -> None:
    slot = Slot.at(moment(2026, 3, 7, 9, 59, 59, ns=999_999_999))
    assert record_key("", slot, "web") == "2026/03/07/09/2026030709.web.jsonl.gz"
    assert record_key("usage/", slot, "web.example.com") == "usage/2026/03/07/09/2026030709.web-example-com.jsonl.gz"


@pytest.mark.parametrize(
    ("hostname", "clean"),
    [("a.b.c", "a-b-c"), ("a_b-9", "a_b-9"), ("a/b", "a-b"), ("..", "--"), ("hüt", "h-t"), ("", "unknown")],
)
def test_a_hostname_can_be_taken_for_no_other_part_of_a_key(hostname: str, clean: str) -> None:
    assert clean_hostname(hostname) == clean


@given(st.text(max_size=300))
def test_any_hostname_becomes_one_part_without_dots(hostname: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", clean_hostname(hostname))


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (moment(1970, 1, 1), "1970010100"),
        (moment(2024, 2, 28, 23, 59, 59, ns=999_999_999), "2024022823"),
        (moment(2024, 2, 29), "2024022900"),
        (moment(2024, 12, 31, 23, 59, 59, ns=999_999_999), "2024123123"),
        (moment(2023, 2, 28, 23, 59, 59, ns=999_999_999) + 1, "2023030100"),
        (moment(2000, 2, 29, 5), "2000022905"),
        (moment(2100, 2, 28, 23, 59, 59) + 1_000_000_000, "2100030100"),
        (moment(2016, 12, 31, 23, 59, 59, ns=999_999_999), "2016123123"),  # a leap second follows
        (moment(2017, 1, 1), "2017010100"),
        (moment(2025, 3, 30, 1, 30), "2025033001"),  # where clocks in Europe go forward
        (moment(2025, 10, 26, 1, 30), "2025102601"),  # and back
    ],
)
def test_the_hour_is_the_one_in_utc(at: int, name: str) -> None:
    slot = Slot.at(at)
    assert slot.name == name
    assert slot.path == f"{name[:4]}/{name[4:6]}/{name[6:8]}/{name[8:]}"
    assert Slot.parse(name) == slot


def test_the_time_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "America/St_Johns")
    time.tzset()
    try:
        assert Slot.at(moment(2025, 3, 9, 6)).name == "2025030906"
        assert Slot.parse("2025030906").start_ns == moment(2025, 3, 9, 6)
        assert specimen_key("", "a", "x", moment(2025, 3, 9)).startswith("a/2025/03/09/x.")
    finally:
        monkeypatch.undo()
        time.tzset()


@given(MOMENTS)
def test_an_hour_holds_its_moments_and_no_others(at: int) -> None:
    slot = Slot.at(at)
    assert slot.start_ns <= at < slot.end_ns == slot.start_ns + HOUR_NS
    assert Slot.at(slot.end_ns - 1) == slot != Slot.at(slot.end_ns)
    assert not slot.over(slot.end_ns - 1)
    assert slot.over(slot.end_ns)
    assert Slot.parse(slot.name) == slot


@given(st.lists(MOMENTS, min_size=2, max_size=2))
def test_names_of_hours_sort_as_the_hours_do(moments: list[int]) -> None:
    one, other = map(Slot.at, moments)
    assert (one < other) == (one.name < other.name)


@pytest.mark.parametrize(
    "name", ["", "2024", "202402300", "2024023000", "2024010124", "20240101000", "x024010100", "２０２４０１０１００"]
)
def test_what_names_no_hour_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        Slot.parse(name)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("photo.png", ("photo", "png")),
        ("https://x.org/a/photo.png", ("photo", "png")),
        ("README", ("README", "")),
        ("archive.tar.gz", ("archive.tar", "gz")),
        ("a/.bashrc", (".bashrc", "")),
        ("a.", ("a", "")),
        (".", ("specimen", "")),
        ("..", ("specimen", "")),
        ("a/...", ("specimen", "")),
        ("a/../..", ("specimen", "")),
        ("../../etc/passwd", ("passwd", "")),
        ("https://x.org/a/", ("specimen", "")),
        ("/", ("specimen", "")),
        ("", ("specimen", "")),
        ("?a=b", ("specimen", "")),
        ("file:///C:/a%20b.png", ("a_20b", "png")),
        ("C:\\dir\\a.png", ("C__dir_a", "png")),
        ("..\\..\\a.png", (".._.._a", "png")),
        ("https://x.org/a.png?v=/b/c.txt", ("a", "png")),
        ("https://x.org/a.png#/b/c.txt", ("a", "png")),
        ("https://x.org/a.png#b?c/d.txt", ("a", "png")),
        ("https://x.org/a.png?b#c/d.txt", ("a", "png")),
        ("grün.jpg", ("gr_n", "jpg")),
        ("写真.写", ("__", "_")),
        ("a\0b\r\n.p\tng", ("a_b__", "p_ng")),
    ],
)
def test_name_and_extension_come_from_the_last_segment(uri: str, name: tuple[str, str]) -> None:
    assert split_name(uri) == name


def test_a_specimen_has_the_key_of_the_contract() -> None:
    assert specimen_key("", "ann", "file:///C:/a%20b.png", NOON + 7) == f"ann/2024/02/29/a_20b.{NOON + 7}.png"
    assert specimen_key("s/", "ann", "x/README", NOON) == f"s/ann/2024/02/29/README.{NOON}"
    assert specimen_key("", "ann", "x/", NOON) == f"ann/2024/02/29/specimen.{NOON}"


def test_the_day_is_that_of_reception_up_to_its_last_nanosecond() -> None:
    last = moment(2023, 12, 31, 23, 59, 59, ns=999_999_999)
    assert specimen_key("", "a", "x.y", last) == f"a/2023/12/31/x.{last}.y"
    assert specimen_key("", "a", "x.y", last + 1) == f"a/2024/01/01/x.{last + 1}.y"


def test_the_user_stands_in_the_key_as_sent() -> None:
    user = "\U0001f600" * 128
    key = specimen_key(LONGEST_PREFIX, user, "a" * 10_240 + ".png", NOON)
    assert key.startswith(f"{LONGEST_PREFIX}{user}/2024/02/29/aaa")
    assert key.endswith(f"a.{NOON}.png")
    assert len(key.encode()) == LONGEST_KEY


@pytest.mark.parametrize(
    "uri",
    ["a" * 10_240, "file:///" + "ü" * 10_240 + ".png", "x." + "e" * 300, "%C3%BC" * 225, "a/" * 5000, "." * 10_240],
)
def test_a_long_uri_loses_no_specimen(uri: str) -> None:
    for user in ("a", "ü" * 128, "\U0001f600" * 128):
        key = specimen_key(LONGEST_PREFIX, user, uri, NOON)
        assert len(key.encode()) <= LONGEST_KEY
        assert f".{NOON}" in key
        assert metadata_bytes(metadata(uri, user)) <= METADATA_BYTES


@example("prefix", "ann", "\ud800/\udfff.png", NOON, 1)
@given(st.sampled_from(["", "s/", LONGEST_PREFIX]), USERS, URIS, MOMENTS, st.integers(0, 1000))
def test_any_uri_of_any_user_gives_a_key_that_s3_takes(
    prefix: str, user: str, uri: str, received_ns: int, attempt: int
) -> None:
    check_username(user)
    key = specimen_key(prefix, user, uri, received_ns, attempt)
    assert len(key.encode()) <= LONGEST_KEY
    front = f"{prefix}{user}/"
    assert key.startswith(front)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/[A-Za-z0-9._-]+", key.removeprefix(front))
    assert not {"", ".", ".."} & set(key.removeprefix(prefix).split("/"))
    assert str(received_ns + attempt) in key.rpartition("/")[2].split(".")[-2:]


@given(USERS, URIS, MOMENTS, st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True))
def test_each_attempt_has_a_key_of_its_own(user: str, uri: str, received_ns: int, attempts: list[int]) -> None:
    one, other = (specimen_key("", user, uri, received_ns, attempt) for attempt in attempts)
    assert one != other


@given(USERS, st.lists(URIS, min_size=2, max_size=2), st.lists(MOMENTS, min_size=2, max_size=2, unique=True))
def test_specimens_of_different_moments_never_share_a_key(user: str, uris: list[str], moments: list[int]) -> None:
    assert specimen_key("", user, uris[0], moments[0]) != specimen_key("", user, uris[1], moments[1])


def test_the_metadata_tell_uri_user_and_digest() -> None:
    assert metadata("file:///C:/a%20b.png?x=1#y") == {
        "specimen-id": "f" * 32,
        "sha256": "e" * 64,
        "user": "ann",
        "uri": "file:///C:/a%20b.png?x=1#y",
    }


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("grün.png", "gr%C3%BCn.png"),
        ("a b.png", "a b.png"),
        (" a ", "%20a%20"),
        ("   ", "%20%20%20"),
        ("a\r\nx-amz-acl: public-read", "a%0D%0Ax-amz-acl: public-read"),
        ("ü%20", "%C3%BC%2520"),
        ("", ""),
    ],
)
def test_what_is_not_plain_ascii_is_percent_encoded(uri: str, told: str) -> None:
    assert metadata(uri)["uri"] == told


def test_a_uri_too_long_for_the_metadata_is_cut_and_says_so() -> None:
    uri = "file:///" + "a" * 10_240
    found = metadata(uri)
    assert found["uri-cut"] == "true"
    assert len(found["uri"]) >= 1024
    assert uri.startswith(found["uri"])


@pytest.mark.parametrize("lead", range(6))
def test_a_uri_is_not_cut_within_an_escape(lead: int) -> None:
    found = metadata("a" * lead + "ü" * 1000)
    assert found["uri-cut"] == "true"
    assert re.fullmatch(r"a*(%[0-9A-F]{2})+", found["uri"])


def test_a_uri_of_225_escaped_bytes_is_kept_whole() -> None:
    uri = "ü" * 112 + "\x7f"
    found = metadata(uri, "\U0001f600" * 128)
    assert found["uri"] == "%C3%BC" * 112 + "%7F"
    assert "uri-cut" not in found


@example("\ud800", "ann")
@given(URIS, USERS)
def test_the_metadata_of_any_uri_fit_and_are_safe_in_a_header(uri: str, user: str) -> None:
    found = metadata(uri, user)
    assert metadata_bytes(found) <= METADATA_BYTES
    assert all(text.isascii() and text.isprintable() for pair in found.items() for text in pair)
    if "uri-cut" not in found:
        assert found["uri"] == found["uri"].strip()
        whole = unquote(found["uri"], errors="surrogatepass")
        assert uri in (found["uri"], whole)


def test_the_longest_metadata_fit_with_their_prefixes_too() -> None:
    found = metadata("a" * 2000, "\U0001f600" * 128)
    assert metadata_bytes(found, "x-amz-meta-") <= METADATA_BYTES


def test_a_users_name_in_the_metadata_is_not_cut_within_an_escape() -> None:
    assert re.fullmatch(r"(%[0-9A-F]{2})+", metadata("a", "ü" * 128)["user"])


@pytest.mark.parametrize(
    ("sent", "uri", "kept"),
    [
        ("image/webp", "a.png", "image/webp"),
        ("text/plain; charset=utf-8", "a.png", "text/plain; charset=utf-8"),
        (" text/plain ", "a.png", "text/plain"),
        ("application/vnd.x+json", "", "application/vnd.x+json"),
        (None, "a.png", "image/png"),
        (None, "a.PNG", "image/png"),
        (None, "https://x.org/a.png?b.txt", "image/png"),
        (None, "a.json", "application/json"),
        (None, "a", "application/octet-stream"),
        (None, "a.no-such-type", "application/octet-stream"),
        (None, "a." + "e" * 300, "application/octet-stream"),
        ("", "a.png", "image/png"),
        ("nonsense", "a.png", "image/png"),
        ("text/plain\r\nx: y", "a.png", "image/png"),
        ("text/plain; a=\r\nx: y", "a.png", "image/png"),
        ("tëxt/plain", "a.png", "image/png"),
    ],
)
def test_the_content_type_is_the_senders_or_else_guessed(sent: str | None, uri: str, kept: str) -> None:
    assert content_type_of(sent, uri) == kept


@example("text/plain\r\n;a=b", "a.png")
@example("text/plain\u2028;a=b", "a.png")
@example("text/plain\t;a=b", "a.png")
@given(st.one_of(st.none(), st.text(), st.from_regex(r"[a-z]+/[a-z]+\s*;.*")), URIS)
def test_any_content_type_is_safe_in_a_header(sent: str | None, uri: str) -> None:
    found = content_type_of(sent, uri)
    assert found.isascii()
    assert found.isprintable()
