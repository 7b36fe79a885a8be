"""Tokens and the file of their hashes: what a line means, and that an edit touches nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.stream import Stream
from lf6gateway.values.token import hash_token, id_of, make_token, matches
from lf6gateway.values.token_file import BadTokenFile, Token, edited, format_line, parse_line, parse_tokens
from lf6gateway.values.username import BadUsername, check_username

TOKEN = make_token(b"12345678", b"s" * 32)
ID = str(id_of(TOKEN.encode()))
HASH = hash_token(TOKEN, b"salt" * 4)
LINE = f"alice: {HASH} id={ID}\n"


def mistake(line: str) -> str:
    with pytest.raises(BadTokenFile) as caught:
        parse_tokens("# a comment\n\n" + line, "tokens")
    [found] = caught.value.mistakes
    assert found.startswith("tokens:3: ")
    assert "$argon2" not in found
    return found


def test_a_token_is_found_by_its_id_and_known_by_its_hash() -> None:
    assert TOKEN.startswith("lf6_")
    assert len(ID) == 13
    assert ID in TOKEN
    assert matches(HASH, TOKEN.encode())
    assert not matches(HASH, TOKEN[:-1].encode() + b"A")
    assert not matches("no hash", TOKEN.encode())
    assert TOKEN.rpartition("_")[2] not in HASH


@pytest.mark.parametrize("sent", [b"", b"alice", b"lf6_", TOKEN.encode() + b"x", TOKEN.upper().encode(), b"\xff" * 61])
def test_what_is_no_token_has_no_id(sent: bytes) -> None:
    assert id_of(sent) is None


def test_a_line_may_have_an_expiry_and_streams() -> None:
    line = (
        f"a b@example.com: {HASH} id={ID} created=2026-01-02T03:04:05Z expires=2027-01-01T00:00:00Z streams=usage,error"
    )
    token = parse_line(line)
    assert token.user == "a b@example.com"
    assert (token.created_s, token.expires_s) == (1767323045, 1798761600)
    assert token.streams == {Stream.USAGE, Stream.ERROR}
    assert parse_line(LINE).streams == set(Stream)
    assert HASH not in repr(token)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alice", "is not of the form user: hash id=..."),
        ("alice:", "is not of the form user: hash id=..."),
        (f"alice: secret id={ID}", "is no Argon2 hash"),
        (f"alice: {HASH}", "has no id="),
        (f"alice: {HASH} id=short", "has no id="),
        (f"alice: {HASH} id={ID} id={ID}", "has id= twice"),
        (f"alice: {HASH} id={ID} colour=red", "is none of id=, created=, expires= and streams="),
        (f"alice: {HASH} id={ID} expires=tomorrow", "write it like 2027-01-31T00:00:00Z"),
        (f"alice: {HASH} id={ID} streams=usage,all", "some of usage, error, specimen"),
        (f"../x: {HASH} id={ID}", 'holds "/"'),
        (f"100%: {HASH} id={ID}", "write %25 for the sign itself"),
        (f"%ff: {HASH} id={ID}", "is not UTF-8"),
        (f"alice: {HASH.replace('m=8192', 'm=9000000')} id={ID}", "would take too long to check"),
    ],
)
def test_a_wrong_line_says_what_is_wrong_and_repeats_no_hash(line: str, words: str) -> None:
    assert words in mistake(line)


def test_two_tokens_of_one_id_are_a_mistake() -> None:
    with pytest.raises(BadTokenFile, match="tokens:2: has the id"):
        parse_tokens(LINE + LINE, "tokens")


@given(
    st.text(min_size=1, max_size=20),
    st.none() | st.integers(0, 10**10),
    st.frozensets(st.sampled_from(Stream), min_size=1),
)
def test_every_user_s_line_reads_back_as_the_same_token(
    user: str, expires: int | None, streams: frozenset[Stream]
) -> None:
    try:
        check_username(user)
    except BadUsername:
        return
    token = Token(user, HASH, ID, 5, expires, streams)
    assert parse_tokens(edited("", added=[token]), "tokens") == {ID: token}


def test_an_edit_leaves_all_other_lines_as_they_are() -> None:
    other = make_token(b"abcdefgh", b"s" * 32)
    mine = Token("bob", HASH, str(id_of(other.encode())))
    text = f"# mine\n\n  {LINE}# id={ID} of yore\ncarol id={ID}: kept"
    after = edited(text, added=[mine], removed=[ID])
    assert after == f"# mine\n\n# id={ID} of yore\ncarol id={ID}: kept\n" + format_line(mine)
    assert edited(after, removed=[mine.id]) == f"# mine\n\n# id={ID} of yore\ncarol id={ID}: kept\n"


@given(st.text(max_size=200) | st.text("ab:$= #%idexprstam\n", max_size=200))
def test_whatever_is_in_a_file_it_is_tokens_or_told(text: str) -> None:
    try:
        assert isinstance(parse_tokens(text, "tokens"), dict)
    except BadTokenFile as error:
        assert error.mistakes
