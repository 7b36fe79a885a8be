"""How bodies are cut into parts, whatever their sizes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.stores.parts import LARGEST_PUT, MIB, MOST_PARTS, SMALLEST_PART, cut, spans
from lf6gateway.stores.store import Body, Slice

lengths = st.lists(st.integers(0, 40 * MIB), max_size=8)


@given(lengths, st.integers(1, 20 * MIB))
def test_parts_are_the_body_in_order_and_none_but_the_last_too_short(lengths: list[int], size: int) -> None:
    body = Body(tuple(Slice(f"file-{number}", number, length) for number, length in enumerate(lengths)))
    parts = cut(body, size)
    joined: list[tuple[str, int, int]] = []
    for piece in (piece for part in parts for piece in part.slices):
        if joined and joined[-1][0] == piece.path and joined[-1][1] + joined[-1][2] == piece.offset:
            path, offset, length = joined.pop()
            joined.append((path, offset, length + piece.length))
        else:
            joined.append((piece.path, piece.offset, piece.length))
    assert joined == [(one.path, one.offset, one.length) for one in body.slices if one.length]
    assert all(part.length == max(size, SMALLEST_PART) for part in parts[:-1])


@given(st.integers(1, 5 * 1024 * 1024 * MIB), st.integers(1, MOST_PARTS))
def test_there_are_never_more_parts_than_allowed(length: int, most: int) -> None:
    assert len(cut(Body((Slice("file", 0, length),)), SMALLEST_PART, most)) <= most


@given(st.integers(SMALLEST_PART, 100 * LARGEST_PUT))
def test_spans_cover_an_object_once_and_each_can_be_copied(size: int) -> None:
    found = spans(size)
    assert found[0][0] == 0
    assert found[-1][1] == size - 1
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(found))
    sizes = [last - first + 1 for first, last in found]
    assert max(sizes) <= LARGEST_PUT
    assert min(sizes) >= SMALLEST_PART
