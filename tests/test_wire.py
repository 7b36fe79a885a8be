"""Messages between the gateway and its workers come out as they went in, however the socket cuts them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values import wire
from lf6gateway.values.wire import Message, Reader, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MESSAGES = st.one_of(
    st.builds(
        wire.Records,
        id=st.integers(0, 2**63),
        stream=TEXT,
        user=TEXT,
        lines=st.binary(max_size=100),
        count=st.integers(0, 1000),
        key=st.none() | TEXT,
        request_id=TEXT,
    ),
    st.builds(wire.Grew, path=TEXT, size=st.integers(0, 2**60)),
    st.builds(wire.Outcome, id=st.integers(0, 2**63), repeated=st.booleans(), reason=TEXT, detail=TEXT),
    st.just(wire.Drain()),
    st.just(wire.Listening()),
)


@given(st.lists(MESSAGES, max_size=8), st.integers(1, 60))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[Message], step: int) -> None:
    data = b"".join(map(encode, messages))
    reader = Reader()
    found: list[Message] = []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    assert found == messages


def test_what_is_no_message_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        list(Reader().feed(b"\x01\x00\x00\x00\x01"))
    with pytest.raises(ValueError, match="truncated"):
        list(Reader().feed(b"\x01\x00\x00\x00\x92"))
