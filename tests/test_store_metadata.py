"""Metadata come back as they were sent, also from a store that takes only short values."""

from __future__ import annotations

import string

from hypothesis import example, given
from hypothesis import strategies as st

from lf6gateway.stores.metadata import PREFIX, headers_of, metadata_of

names = st.text(string.ascii_lowercase + "-", min_size=1, max_size=8).filter(lambda name: "-part" not in name)
values = st.text(string.ascii_letters + string.digits + "%/ .", max_size=80).map(str.strip)


@given(st.dictionaries(names, values, max_size=5), st.one_of(st.none(), st.integers(10, 60)))
@example({"uri": "a" * 25}, 10)
@example({"uri": "a" * 9 + " " + "b" * 9}, 10)
def test_metadata_are_what_was_sent_and_no_value_is_too_long(metadata: dict[str, str], longest: int | None) -> None:
    if longest is not None and any("          " in value for value in metadata.values()):
        return  # more blanks in a row than one value holds have no place to be cut at
    headers = headers_of(metadata, longest)
    assert all(len(value) <= (longest or 1 << 30) for value in headers.values())
    sent = {name.lower(): value.strip() for name, value in headers.items()}
    assert metadata_of(sent) == metadata
    if longest is None:
        assert headers == {PREFIX + name: value for name, value in metadata.items()}


def test_what_only_looks_like_a_further_part_stays() -> None:
    assert metadata_of({"x-amz-meta-uri-part2": "b", "x-amz-meta-n": "1", "etag": "e"}) == {"uri-part2": "b", "n": "1"}
    assert metadata_of({"x-amz-meta-u-part10": "c", "x-amz-meta-u-part2": "b", "x-amz-meta-u": "a"}) == {"u": "abc"}
