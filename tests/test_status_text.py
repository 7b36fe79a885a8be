"""What the command ``status`` shows of what ``/status`` says."""

from __future__ import annotations

import json
from typing import Any

from lf6gateway.edges.admin_endpoints import _json
from lf6gateway.values.status_text import status_lines, troubles
from tests.status_samples import status


def facts(**asked: Any) -> Any:
    return json.loads(_json(status(**asked)).body)


def test_all_is_well_only_where_data_are_taken_and_no_alert_is_firing() -> None:
    well = facts(ready=True, failing_s=0.0, trouble=False)
    assert troubles(well) == []
    assert "all is well" in next(iter(status_lines(well)))
    refused = facts(ready=False, failing_s=0.0, trouble=False)
    assert len(troubles(refused)) == 1 and troubles(refused)[0].startswith("takes no data: ")
    alerted = facts(ready=True, trouble=True)
    assert troubles(alerted) and "not all is well" in next(iter(status_lines(alerted)))


def test_a_store_that_fails_is_told_with_its_remedy() -> None:
    text = "\n".join(status_lines(facts(text="the reason", failing_s=90.0)))
    assert "fails for" in text and "what to do: the reason" in text


def test_nothing_that_others_named_speaks_to_the_terminal() -> None:
    text = "\n".join(status_lines(facts(text="\x1b[2J\u202e<b>")))
    assert "\x1b" not in text and "\u202e" not in text
