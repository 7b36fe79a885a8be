"""A line of the audit trail: who, what, when, from where, and the answer. Owns its form; must never hold a token, nor
let what a client sent begin a line of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

LONGEST: Final = 1_024
"""Characters of a text; what is longer is cut, and ends in an ellipsis."""


def audit_line(event: str, now_ns: int, fields: Mapping[str, Any]) -> bytes:
    """An entry as one JSON object and a line feed, ASCII alone; fields of ``None`` are left out.

    :param now_ns: nanoseconds since 1970.
    """
    seconds, rest = divmod(now_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    entry: dict[str, Any] = {"time": f"{moment}.{rest // 1_000_000:03d}Z", "event": event}
    entry.update({name: _cut(value) for name, value in fields.items() if value is not None})
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return value[: LONGEST - 1] + "…"
    return value
