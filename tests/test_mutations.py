"""The list of edits that a test must notice fits the present code; they are tried by
``python -m tests.campaigns.mutations``."""

from __future__ import annotations

import pytest

from tests.campaigns.mutations import HERE, MUTATIONS, Mutation

PROMISED = (
    "no fsync of the journal",
    "no fsync of a new segment's folder",
    "answered before the flush",
    "If-Match left out",
    "a quarantined file is deleted",
    "retried without looking at the cursor",
    "the chain of digests is not compared",
    "the hour of upload in the key",
    "recovery skips the last segment",
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_the_line_to_be_broken_is_there_once(mutation: Mutation) -> None:
    assert (HERE / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.new != mutation.old
    for word in mutation.tests.split():
        assert not word.startswith("tests/") or (HERE / word).exists()


def test_what_has_to_be_noticed_is_in_the_list() -> None:
    assert set(PROMISED) <= {mutation.promise for mutation in MUTATIONS}
    assert len({mutation.promise for mutation in MUTATIONS}) == len(MUTATIONS)
