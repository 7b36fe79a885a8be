"""An alert as others read it: Slack's incoming webhooks, Alertmanager's API v2, or whoever takes a plain object. Owns
these forms; must never send anything.

Slack: https://api.slack.com/messaging/webhooks; Alertmanager: openapi.yaml of its API v2, ``postableAlerts``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from lf6gateway.values.alert_states import Event, State

REFRESH_S: Final = 60.0
"""How often Alertmanager is told again of what still fires, as it expects of whoever sends it alerts."""
HOLDS_S: Final = 5 * REFRESH_S
"""For how long it is to believe that without being told again."""


def body(form: str, event: Event, host: str, page: str) -> bytes:
    """What is sent of one event.

    :param form: ``json``, ``slack`` or ``alertmanager``.
    :param host: this machine's name.
    :param page: the URL of the operators' listener; empty where there is none.
    """
    match form:
        case "slack":
            return msgspec.json.encode(_slack(event, host))
        case "alertmanager":
            return msgspec.json.encode([_alertmanager(event, host, page)])
        case _:
            return msgspec.json.encode(_plain(event, host))


def again(events: Sequence[Event], host: str, page: str) -> bytes:
    """What Alertmanager is told of all that still fires."""
    return msgspec.json.encode([_alertmanager(event, host, page) for event in events])


def _plain(event: Event, host: str) -> dict[str, Any]:
    condition = event.condition
    return {
        "version": 1,
        "state": event.state.value,
        "alert": condition.name,
        "subject": condition.subject,
        "severity": condition.severity,
        "summary": condition.summary,
        "remedy": condition.remedy,
        "host": host,
        "since": _moment(event.since_ns),
        "at": _moment(event.at_ns),
    }


def _slack(event: Event, host: str) -> dict[str, Any]:
    condition = event.condition
    if event.state is State.RESOLVED:
        sign, rest = ":white_check_mark:", "it is over"
    else:
        sign = ":rotating_light:" if condition.severity == "critical" else ":warning:"
        rest = f"{condition.summary}\nWhat to do: {condition.remedy}"
    what = f"{condition.name} {condition.subject}".strip()
    return {"text": f"{sign} *lf6gateway on {_escaped(host)}*: {_escaped(what)}: {_escaped(rest)}"}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _alertmanager(event: Event, host: str, page: str) -> dict[str, Any]:
    condition = event.condition
    labels = {
        "alertname": f"lf6gateway_{condition.name}",
        "severity": condition.severity,
        "instance": host,
        "job": "lf6gateway",
    }
    if condition.subject:
        labels["subject"] = condition.subject
    end_ns = event.at_ns + (0 if event.state is State.RESOLVED else int(HOLDS_S * 1e9))
    found: dict[str, Any] = {
        "labels": labels,
        "annotations": {"summary": condition.summary, "description": condition.remedy},
        "startsAt": _moment(event.since_ns),
        "endsAt": _moment(end_ns),
    }
    return found | ({"generatorURL": page} if page else {})


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000 / 1e3, UTC).isoformat().replace("+00:00", "Z")
