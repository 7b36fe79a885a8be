"""What ``/status`` says, as a few lines for a terminal. Owns which of it matters at a glance, and whether all is well;
must never show a control character that somebody sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from lf6gateway.values.printable import columns, printable
from lf6gateway.values.readable import amount, number, span

Facts: TypeAlias = Mapping[str, Any]
"""The JSON of ``/status``, see docs/status.md."""


def troubles(status: Facts) -> list[str]:
    """Why not all is well: no data are taken, or an alert is firing. Empty where all is."""
    ready = status["ready"]
    found = [] if ready["ready"] else [f"takes no data: {ready['detail'] or ready['reason']}"]
    firing = (one for one in status["alerts"] if one["state"] == "firing")
    found += [f"{one['name']}: {one['summary']}; {one['remedy']}" for one in firing]
    return [printable(text) for text in found]


def status_lines(status: Facts) -> Iterator[str]:
    """The lines, without their ends."""
    gateway, spool, quarantine = status["gateway"], status["spool"], status["quarantine"]
    found = troubles(status)
    host, version = printable(gateway["hostname"]), printable(gateway["version"])
    yield (
        f"{host}  lf6gateway {version}, up {span(gateway['uptime_s'])}, "
        f"{gateway['workers']} worker{'s' if gateway['workers'] != 1 else ''}: "
        + ("not all is well" if found else "all is well")
    )
    for text in found:
        yield f"  ! {text}"
    yield ""
    rows = [("stream", "last hour", "last day", "bytes/day", "p99", "waiting", "oldest", "last success", "store")]
    for name, stream in status["streams"].items():
        hour, day, waiting = stream["received"]["hour"], stream["received"]["day"], stream["waiting"]
        store = stream["store"]
        rows.append(
            (
                name,
                number(hour["records"]),
                number(day["records"]),
                amount(day["bytes"]),
                span(hour["p99_s"]),
                _amount_of(waiting),
                span(waiting["oldest_s"]) if waiting["oldest_at"] else "–",
                printable(str(store["last_success_at"] or "–")[:19].replace("T", " ")),
                _state_of(store),
            )
        )
    yield from columns(rows, right={1, 2, 3, 4, 5, 6})
    for name, stream in status["streams"].items():
        store = stream["store"]
        if store["failing_s"]:
            yield f"  {name}: {printable(str(store['detail'] or store['cause']))}"
            if store["remedy"]:
                yield f"  {name}: what to do: {printable(store['remedy'])}"
    yield ""
    yield f"spool       {amount(spool['used_bytes'])} of {amount(spool['max_bytes'])}"
    if spool["free_bytes"] is not None:
        yield f"disk        {amount(spool['free_bytes'])} free, {amount(spool['min_free_bytes'])} of it kept"
    yield f"quarantine  {number(quarantine['count'])} files, {amount(quarantine['bytes'])}"


def _amount_of(waiting: Facts) -> str:
    """How many files wait, and their bytes as far as they were read."""
    count = waiting["segments"] + waiting["members"] + (waiting["specimens"] or 0)
    more = "+" if waiting["specimens"] is None else ""  # those of an earlier process are being counted
    return f"{number(count)}{more}, {amount(waiting['bytes'])}" if count or more else "–"


def _state_of(store: Facts) -> str:
    if not store["failing_s"]:
        return "works"
    after = f", next try in {span(store['next_attempt_s'])}" if store["next_attempt_s"] else ""
    return f"fails for {span(store['failing_s'])}{after}"
