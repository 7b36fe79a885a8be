"""A report's figures as plain data, of which every form of it is made. Owns which figures there are and their order;
must never know how one is drawn."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from lf6gateway.values.stream import Stream
from lf6gateway.values.tally import KEPT, USERS_COUNTED, Tally, Volume
from lf6gateway.values.when import format_when
from lf6gateway.values.window import Window

_FORMS: Final = {1: "%Y-%m-%dT%H", 24: "%Y-%m-%d"}


def report_of(tally: Tally, *, places: str, window: Window, host: str | None, now_ns: int, most: int) -> dict[str, Any]:
    """The report of a tally.

    :param places: where the objects are, for people.
    :param most: rows of each table.
    """
    units = [unit for _, unit in tally.times]
    first, last = (min(units), max(units)) if units else (0, -1)
    streams = [stream for stream in Stream if stream in tally.streams]
    return {
        "made_at": format_when(now_ns),
        "from": places,
        "host": host,
        "since": None if window.since_ns is None else format_when(window.since_ns),
        "until": None if window.until_ns is None else format_when(window.until_ns),
        "unit": "hour" if tally.unit_hours == 1 else "day",
        "streams": {stream.value: _volume(tally.streams[stream]) for stream in streams},
        "times": [
            {
                "at": _at(unit, tally.unit_hours),
                **{stream.value: _volume(tally.times.get((stream, unit), Volume())) for stream in streams},
            }
            for unit in range(first, last + 1)
        ],
        "hosts": [
            {"stream": stream.value, "host": name, "records": count} for (stream, name), count in tally.hosts.top(most)
        ],
        "versions": [
            {"stream": stream.value, "version": version, "records": count}
            for (stream, version), count in tally.versions.top(most)
        ],
        "errors": [_error(tally, identity, count, first, last) for identity, count in tally.errors.top(most)],
        "different_errors": len(tally.errors),
        "users": _users(tally, most),
        "specimen_kinds": [{"ending": ending, "specimens": count} for ending, count in tally.kinds.top(most)],
        "notes": _notes(tally),
        "damaged": tally.damaged,
    }


def _volume(volume: Volume) -> dict[str, int]:
    return {
        "objects": volume.objects,
        "records": volume.records,
        "bytes": volume.bytes,
        "raw_bytes": volume.raw_bytes,
    }


def _at(unit: int, hours: int) -> str:
    return datetime.fromtimestamp(unit * hours * 3600, UTC).strftime(_FORMS[hours])


def _error(tally: Tally, identity: str, count: int, first: int, last: int) -> dict[str, Any]:
    seen = tally.seen.get(identity)
    if seen is None:
        return {"id": identity, "title": "", "count": count, "users": 0, "first": None, "last": None, "times": []}
    return {
        "id": identity,
        "title": seen.title,
        "count": count,
        "users": len(seen.users),
        "first": _at(seen.first, tally.unit_hours),
        "last": _at(seen.last, tally.unit_hours),
        "times": [seen.times.get(unit, 0) for unit in range(first, last + 1)],
    }


def _users(tally: Tally, most: int) -> list[dict[str, Any]]:
    by_user: dict[str, dict[str, int]] = {}
    for (stream, user), count in tally.users.items():
        by_user.setdefault(user, {})[stream.value] = count
    ranked = sorted(by_user.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:most]
    return [
        {"user": user, **{stream.value: counts.get(stream.value, 0) for stream in Stream}} for user, counts in ranked
    ]


def _notes(tally: Tally) -> list[str]:
    notes = []
    records = sum(volume.records for stream, volume in tally.streams.items() if stream is not Stream.SPECIMEN)
    if tally.without_user:
        notes.append(
            f"{tally.without_user:,} of {records:,} records do not tell their user: records.envelope was off when they "
            "came in"
        )
    if tally.nameless_errors:
        notes.append(
            f"{tally.nameless_errors:,} error reports have none of the fields that errors are told apart by; name them "
            "with --message-field, --kind-field and --stack-field"
        )
    if tally.unreadable:
        notes.append(f"{tally.unreadable:,} records are not JSON that can be read")
    if tally.damaged_count:
        notes.append(f"{tally.damaged_count:,} objects could not be read whole; lf6gateway verify tells more")
    for what, top in (("hosts", tally.hosts), ("versions", tally.versions), ("users", tally.users)):
        if not top.exact:
            notes.append(
                f"there are more than {KEPT:,} {what}: the rarest were left out, and a count can be too low by up to "
                f"{top.missed:,}"
            )
    if not tally.errors.exact:
        notes.append(
            f"there are too many different errors: the rarest were left out, and a count can be too low by up to "
            f"{tally.errors.missed:,}"
        )
    if any(len(seen.users) >= USERS_COUNTED for seen in tally.seen.values()):
        notes.append(f"users of one error are counted up to {USERS_COUNTED:,}")
    return notes
