"""A body on its way: what is read for nobody is nobody's error."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import StringTransport

from lf6gateway.stores.producer import SliceProducer
from lf6gateway.stores.store import Body, Slice
from lf6gateway.values.failure import StoreError
from tests.later import Later


def test_a_body_that_cannot_be_read_fails(tmp_path: Path) -> None:
    later = Later()
    producer = SliceProducer(Body((Slice(str(tmp_path / "missing"), 0, 1),)), later)
    sent: list[object] = []
    producer.startProducing(StringTransport()).addBoth(sent.append)
    later.run()
    assert len(sent) == 1
    assert sent[0].check(StoreError)  # type: ignore[attr-defined]


def test_one_that_is_stopped_never_fails(tmp_path: Path) -> None:
    later = Later()
    producer = SliceProducer(Body((Slice(str(tmp_path / "missing"), 0, 1),)), later)
    sent: list[object] = []
    producer.startProducing(StringTransport()).addBoth(sent.append)
    producer.stopProducing()
    later.run()
    assert not sent
