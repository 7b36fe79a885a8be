"""The keys of the alerts. Owns this section, its defaults and the form of its values; must never read a file or the
environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

from lf6gateway.values.duration import parse_duration
from lf6gateway.values.settings_fields import Span, choice, count
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.settings_section import Section

NAMES: Final = ("records_wait", "store_failing", "disk", "spool_filling", "quarantine", "error_surge")
"""What can be switched off."""


def _url(value: Any) -> Any:
    # The value is not repeated in any message: whoever knows such a URL can write where it leads.
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        fine = bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.scheme not in ("http", "https") or not value.isascii() or not value.isprintable():
        raise ValueError("is no URL of http or https; write it like https://hooks.slack.com/services/...")
    if " " in value or "#" in value or "@" in parts.netloc:
        raise ValueError("has a blank, a fragment or a user name in it; remove it")
    return SecretStr(value)


def _disabled(value: Any) -> Any:
    texts = tuple(value.split()) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else value
    for text in texts if isinstance(texts, tuple) else ():
        if text not in NAMES:
            raise ValueError(f"{shown(text)} is not one of {', '.join(NAMES)}")
    return texts


Url = Annotated[SecretStr, BeforeValidator(_url)]
"""A URL that no print-out shows."""

Rules = Annotated[tuple[str, ...], BeforeValidator(_disabled)]
"""Names of rules; as one text they are separated by blanks."""


class Alerts(Section):
    """What operators are alerted of, and how."""

    webhook: Url | None = None
    """Where alerts are sent to, beside the log."""
    format: Annotated[Literal["json", "slack", "alertmanager"], choice("json", "slack", "alertmanager")] = "json"
    """What is sent: an object of our own, one of Slack's incoming webhooks, or those of Alertmanager's API v2."""
    disabled: Rules = ()
    """Rules that are switched off."""
    oldest_intervals: Annotated[int, count(1, 1_000)] = 3
    """A record that waits for more than so many intervals is alerted of."""
    store_failing: Span = parse_duration("5m")
    """A store that fails for longer is alerted of."""
    spool_percent: Annotated[int, count(1, 100)] = 80
    """A spool that is fuller, in percent of ``spool.max_bytes``, is alerted of."""
    error_factor: Annotated[int, count(2, 1_000_000)] = 10
    """So many times the usual number of error reports in ten minutes is alerted of."""
    error_least: Annotated[int, count(1, 1_000_000_000)] = 1_000
    """Fewer error reports than this in ten minutes are never alerted of."""
    settle: Span = parse_duration("1m")
    """How long it must be over before it is told that it is."""
