"""The operator's page: whatever is shown stays text, every part is there, and what did not change is not made again."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lf6gateway.edges import page
from lf6gateway.edges.page import Fragments, Piece, Viewed, login, preview, whole
from lf6gateway.edges.page_answers import ADDRESSES, POLICY
from lf6gateway.edges.page_elements import element, foreign, html
from lf6gateway.values.status import Status
from tests.status_samples import minutes, status

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;<!--part at-->\u202egnp.exe\u2066\x00\x1b[2J\r\n\x7f\ud800\u200b{{7*7}}javascript:alert(3)"
VIEWED = Viewed(hours=3, token="t" * 64, notice="", leave=True, files=ADDRESSES)
VOID = {"meta", "link", "input"}


class Read(HTMLParser):
    """The elements of a page with the names of their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append(" ".join([tag, *sorted(name for name, _ in attrs)]))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def made(found: Status, *, links: bool = True, count: int = 90) -> str:
    return whole(found, Fragments().of(found, minutes(count), links=links), VIEWED)


def told(text: str) -> str:
    return " ".join(" ".join(Read(text).texts).split())


@pytest.mark.parametrize("links", [True, False])
def test_whatever_is_shown_stays_text(links: bool) -> None:
    hostile, plain = Read(made(status(HOSTILE), links=links)), Read(made(status("plain"), links=links))
    assert hostile.shape == plain.shape
    shown = "".join(hostile.texts)
    assert shown.count("<script>alert(1)</script>") > 20
    assert shown.count("\\u{202e}gnp.exe") > 20
    assert not set(shown) & set("\u202e\u2066\x00\x1b\r\x7f\ud800\u200b")
    for tag, name, value in hostile.attributes:
        assert not name.startswith("on") and name != "style"
        assert not set(value) & set("\u202e\u2066\x00\x1b\r\n\x7f\ud800\u200b"), (tag, name)
        if name in ("href", "src", "action"):
            assert re.fullmatch(r"[A-Za-z./?#][A-Za-z0-9./?#=%&+_~-]*", value), value
            assert not value.startswith(("javascript", "//", "http"))


def test_a_preview_and_the_form_for_the_token_stay_text() -> None:
    hostile = Read(preview(Piece(HOSTILE, "9 bytes", [HOSTILE, HOSTILE], "as text", cut=True), "0", ADDRESSES))
    plain = Read(preview(Piece("a", "9 bytes", ["a", "b"], "as text", cut=True), "0", ADDRESSES))
    assert hostile.shape == plain.shape
    assert not set("".join(hostile.texts)) & set("\u202e\u2066\x00\x1b\r\x7f\ud800")
    assert "script" not in " ".join(Read(login(HOSTILE, ADDRESSES, wrong=True)).shape)


def test_each_part_is_there_and_named() -> None:
    read = Read(made(status()))
    ids = {value for _, name, value in read.attributes if name == "id"}
    for _, name, value in read.attributes:
        if name == "href" and value.startswith("#"):
            assert value[1:] in ids, f"{value} leads nowhere"
        if name in ("aria-labelledby", "aria-describedby"):
            assert value in ids
    assert len(ids) == len([1 for _, name, _ in read.attributes if name == "id"])
    names = [shape for shape in read.shape if shape.startswith("table")]
    assert len(names) == len([shape for shape in read.shape if shape.startswith("caption")]) >= 12
    assert read.shape.count("h1") == 1
    figures = len([shape for shape in read.shape if shape.startswith("figure")])
    assert figures == 6


def test_nothing_is_asked_for_that_the_policy_forbids() -> None:
    read = Read(made(status()))
    assert "style" not in " ".join(read.shape).split()
    scripts = [shape for shape in read.shape if shape.startswith("script")]
    assert scripts == ["script defer src"]
    assert b"unsafe" not in POLICY and b"data:" not in POLICY and POLICY.startswith(b"default-src 'none'; ")


@pytest.mark.parametrize(
    ("found", "title", "words"),
    [
        (status(ready=True, failing_s=0.0, trouble=False), "something needs a look", "The spool is 90 % full"),
        (
            status(ready=True, failing_s=61.0, trouble=False),
            "Data are taken, and wait on disk",
            "has failed for 1 min 1 s",
        ),
        (status("spool_full", failing_s=0.0, trouble=False), "No data are taken", "Not ready (spool_full)"),
        (status("draining", failing_s=0.0, trouble=False), "Stopping", "Not ready (draining)"),
    ],
)
def test_the_state_is_told_in_words(found: Status, title: str, words: str) -> None:
    text = told(made(found))
    assert title in text and words in text


def test_a_gateway_that_fares_well_says_so() -> None:
    found = status(ready=True, failing_s=0.0, trouble=False)
    text = told(made(replace(found, spool=replace(found.spool, used_bytes=0))))
    assert "Data are taken and shipped" in text and "What to do" not in text
    assert "Nothing is set aside." in text and "None since the start" in text


def test_an_error_stands_beside_its_remedy() -> None:
    found = status()
    one = replace(found.errors[0], cause="denied", detail="AccessDenied", remedy="grant s3:PutObject")
    assert "denied plain, 3 times, last 12:30:00 AccessDenied What to do: grant s3:PutObject" in told(
        made(replace(found, errors=(one,)))
    )


def test_links_are_there_only_where_they_are_allowed() -> None:
    found = status()
    found = replace(found, shipped=(replace(found.shipped[0], stream="usage", key="usage/a b&c.gz", bucket="/srv"),))
    assert 'href="object?stream=usage&amp;key=usage%2Fa+b%26c.gz"' in made(found, links=True)
    without = made(found, links=False)
    assert "object?" not in without and "usage/a b&amp;c.gz" in without and "/srv" in without


def test_what_did_not_change_is_not_made_again() -> None:
    fragments, found, points = Fragments(), status(), minutes()
    before = fragments.of(found, points, links=False)
    after = fragments.of(replace(found, errors=()), points, links=False)
    assert {name for name in after if after[name] is not before[name]} == {"errors"}
    later = fragments.of(found, minutes(91), links=False)
    assert later["charts"] != before["charts"]


def test_no_chart_breaks_where_there_is_little_to_draw() -> None:
    for count in (0, 1, 2):
        Read(made(status(), count=count))
    assert told(made(status(), count=0)).count("Nothing yet.") == 6
    for hours in (3, 24):
        Read(Fragments(hours).of(status(), minutes(24 * 60), links=False)["charts"])


def test_a_notice_is_one_of_ours() -> None:
    found = status()
    parts = Fragments().of(found, (), links=False)
    assert page.NOTICES["ship"] in told(whole(found, parts, replace(VIEWED, notice="ship")))
    assert "hello" not in whole(found, parts, replace(VIEWED, notice="hello"))


def test_a_fault_in_a_part_is_no_empty_page() -> None:
    with pytest.raises(Exception, match="object"):
        html(element("p", object()))
    assert html(foreign("a\tb")) == html(element("bdi", "a\tb")) == "<bdi>a\\u{9}b</bdi>"


# Contrast, from the style sheet itself.


def _schemes() -> dict[str, dict[str, str]]:
    sheet = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", sheet, re.S)
    colours = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    return {"light": colours[0], "dark": colours[0] | colours[1]}


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(scheme: str) -> None:
    colours = _schemes()[scheme]
    for ink in ("text", "soft", "link", "well", "attention", "trouble", "off"):
        for ground in ("ground", "sheet"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["text"], colours["well-ground"]) >= 4.5
    assert contrast(colours["sheet"], colours["link"]) >= 4.5  # a button
    for line in ("a", "b", "c"):
        assert contrast(colours[line], colours["sheet"]) >= 3  # WCAG 1.4.11
