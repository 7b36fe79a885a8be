"""What Slack, Alertmanager and others are sent."""

from __future__ import annotations

import json

from lf6gateway.values.alert_message import HOLDS_S, again, body
from lf6gateway.values.alert_rules import Condition
from lf6gateway.values.alert_states import Event, State

AT = 1_795_600_000_123_000_000
CONDITION = Condition("store_failing", "insights", "critical", "it fails: <no>", "mend & see")
FIRING = Event(CONDITION, State.FIRING, AT - 5_000_000_000, AT)
OVER = Event(CONDITION, State.RESOLVED, AT - 5_000_000_000, AT)


def test_slack() -> None:
    text = json.loads(body("slack", FIRING, "host", ""))
    assert set(text) == {"text"}
    assert (
        "store_failing insights" in text["text"] and "&lt;no&gt;" in text["text"] and "mend &amp; see" in text["text"]
    )
    assert "it is over" in json.loads(body("slack", OVER, "host", ""))["text"]


def test_alertmanager() -> None:
    (alert,) = json.loads(body("alertmanager", FIRING, "host", "http://127.0.0.1:9606/"))
    assert alert["labels"] == {
        "alertname": "lf6gateway_store_failing",
        "severity": "critical",
        "instance": "host",
        "job": "lf6gateway",
        "subject": "insights",
    }
    assert alert["annotations"] == {"summary": "it fails: <no>", "description": "mend & see"}
    assert alert["startsAt"] == "2026-11-25T09:46:35.123000Z"
    assert alert["generatorURL"] == "http://127.0.0.1:9606/"
    (over,) = json.loads(body("alertmanager", OVER, "host", ""))
    assert over["endsAt"] == "2026-11-25T09:46:40.123000Z" and "generatorURL" not in over
    assert over["labels"] == alert["labels"]  # by which Alertmanager knows that it is the same
    assert len(json.loads(again([FIRING, FIRING], "host", ""))) == 2
    assert HOLDS_S > 60


def test_an_object_of_our_own() -> None:
    assert json.loads(body("json", FIRING, "host", "")) == {
        "version": 1,
        "state": "firing",
        "alert": "store_failing",
        "subject": "insights",
        "severity": "critical",
        "summary": "it fails: <no>",
        "remedy": "mend & see",
        "host": "host",
        "since": "2026-11-25T09:46:35.123000Z",
        "at": "2026-11-25T09:46:40.123000Z",
    }
