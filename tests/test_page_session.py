"""Sessions of browsers, and forms that are ours: what others send counts for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lf6gateway.edges.page_session import COOKIE, LASTS, Sessions
from lf6gateway.values.problem import Refused


def fields(**named: str) -> object:
    def found(name: bytes) -> Sequence[bytes]:
        value = named.get(name.decode().replace("-", "_"))
        return () if value is None else (value.encode("latin-1"),)

    return found


def cookie(sessions: Sessions) -> str:
    return sessions.begin().decode().partition(";")[0]


def test_a_session_lasts_half_a_day_and_no_longer() -> None:
    now = [1000.0]
    sessions = Sessions(lambda: now[0])
    mine = fields(cookie=f"other=1; {cookie(sessions)}")
    assert sessions.known(mine)
    now[0] += LASTS - 1
    assert sessions.known(mine)
    now[0] += 2
    assert not sessions.known(mine)


def test_no_session_but_ours() -> None:
    sessions, other = Sessions(lambda: 0.0), Sessions(lambda: 0.0)
    mine = cookie(sessions)
    for sent in (
        "",
        mine[:-1],
        mine + "0",
        mine.replace("=43", "=99"),
        cookie(other),
        f"{COOKIE}=",
        f"{COOKIE}=..",
        f"{COOKIE}=é.é",
    ):
        assert not sessions.known(fields(cookie=sent)), sent
    sessions.end_all()
    assert not sessions.known(fields(cookie=mine))


def test_the_cookie_is_for_no_script_and_no_other_site() -> None:
    sent = Sessions(lambda: 0.0).begin()
    assert b"; HttpOnly" in sent and b"; SameSite=Strict" in sent and b"Domain" not in sent


def test_a_form_is_that_of_this_process_this_session_and_this_purpose() -> None:
    sessions = Sessions(lambda: 0.0)
    mine = cookie(sessions)
    form = sessions.form(fields(cookie=mine))
    sessions.check(fields(cookie=mine), form)
    for named, sent in (
        ({"cookie": mine}, ""),
        ({"cookie": mine}, form[:-1]),
        ({"cookie": mine}, Sessions(lambda: 0.0).form(fields(cookie=mine))),
        ({"cookie": mine}, sessions.form(fields())),
        ({"cookie": mine}, sessions.form(fields(cookie=mine), "login")),
        ({"cookie": mine}, "\ud800é"),
        ({}, form),
    ):
        with pytest.raises(Refused, match="403 foreign-form"):
            sessions.check(fields(**named), sent)


@pytest.mark.parametrize(
    ("named", "good"),
    [
        ({}, True),
        ({"origin": "http://a:9606"}, True),
        ({"origin": "https://a:9606"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://a:9607"}, False),
        ({"origin": "http://evil"}, False),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "null"}, False),
    ],
)
def test_a_form_comes_from_the_same_origin(named: dict[str, str], good: bool) -> None:
    sessions = Sessions(lambda: 0.0)
    sent = fields(host="a:9606", **named)
    if good:
        sessions.check(sent, sessions.form(sent))
    else:
        with pytest.raises(Refused):
            sessions.check(sent, sessions.form(sent))
