"""What is written of ``/status`` and of the metrics is what they are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import msgspec

from lf6gateway.values import status as shape
from tests.status_support import status

DOCS = Path(__file__).parents[1] / "docs"
WRITTEN_OTHERWISE = {"version"}


def fields(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def test_each_field_is_in_the_documentation() -> None:
    text = (DOCS / "status.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    kinds = [one for one in vars(shape).values() if dataclasses.is_dataclass(one)]
    assert len(kinds) > 15
    for kind in kinds:
        assert fields(kind) <= named | WRITTEN_OTHERWISE, kind


def test_each_row_is_a_field() -> None:
    text = (DOCS / "status.md").read_text()
    whole, _, stream = text.partition("## A stream")
    rows = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
    assert set(rows.findall(whole)) == fields(shape.Status) - {"version"}
    assert set(rows.findall(stream)) == fields(shape.StreamStatus)


def test_it_can_be_written_and_never_changed() -> None:
    made = status()
    written = msgspec.json.decode(msgspec.json.encode(made))
    assert set(written) == fields(shape.Status)
    assert written["at"] == "2026-11-25T12:00:00Z"
    for kind in vars(shape).values():
        if dataclasses.is_dataclass(kind):
            assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
