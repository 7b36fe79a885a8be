"""A report as one HTML file that needs nothing else. Owns its markup; what comes from records is hostile, and nothing
of it gets in but through ``_text``. A strict policy in the page forbids scripts and every outside resource, should
something get in all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from lf6gateway.values.bar_chart import bar_chart, sparkline
from lf6gateway.values.printable import printable, size_text

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1a1f27; --dim: #5b6573; --paper: #fff; --line: #d8dde4; --bar: #2f6fb2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --dim: #98a3b3; --paper: #14181e; --line: #2e3641; --bar: #6aa9e9; }
}
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .dim, caption { color: var(--dim); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--dim); font-weight: 600; } .n { text-align: right; width: 1%; }
.n, .t { white-space: nowrap; } .w { overflow-wrap: anywhere; min-width: 6rem; } .e { min-width: 15rem; }
h1 { overflow-wrap: anywhere; }
code { font: 13px ui-monospace, monospace; } svg { display: block; }
svg.chart { width: 100%; min-width: 30rem; height: auto; }
svg.spark { width: 120px; height: 20px; } svg text { font: 11px system-ui, sans-serif; fill: var(--dim); }
.bar { fill: var(--bar); } .axis { stroke: var(--dim); } .grid { stroke: var(--line); }
ul { padding-left: 1.2rem; }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_CHARTED: Final = {"usage": "records", "error": "reports", "specimen": "specimens"}


def report_html(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    return "".join(_page(report))


def _text(text: object) -> str:
    """A text within the page, whoever wrote it."""
    return escape(printable(str(text)), quote=True)


def _page(report: Mapping[str, Any]) -> Iterator[str]:
    title = f"Report on {report['from']}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"
    until = report["until"] or report["made_at"]
    yield f'<p class="dim">From {_text(report["since"] or "the beginning")} to {_text(until)}, UTC'
    yield f", host {_text(report['host'])}" if report["host"] else ""
    yield f". Made at {_text(report['made_at'])}.</p>\n"
    if report["notes"]:
        yield "<ul>" + "".join(f"<li>{_text(note)}</li>" for note in report["notes"]) + "</ul>\n"
    if report["damaged"]:
        yield "<p>Not read whole:</p><ul>"
        yield "".join(f'<li class="w"><code>{_text(key)}</code></li>' for key in report["damaged"]) + "</ul>\n"
    yield from _volumes(report)
    for stream in report["streams"]:
        series = [(one["at"], one[stream]["records"]) for one in report["times"]]
        words = f"{stream.capitalize()} by {report['unit']}"
        chart = bar_chart(words, series, unit=_CHARTED.get(stream, ""))
        yield f'<h2>{_text(words)}</h2>\n<div class="scroll">{chart}</div>\n'
    yield from _errors(report)
    yield from _table(
        "Versions",
        ("Records", "Stream", "Version"),
        ((f"{one['records']:,}", one["stream"], one["version"]) for one in report["versions"]),
        {0},
    )
    yield from _table(
        "Users",
        ("Usage", "Errors", "Specimens", "User"),
        ((f"{one['usage']:,}", f"{one['error']:,}", f"{one['specimen']:,}", one["user"]) for one in report["users"]),
        {0, 1, 2},
    )
    yield from _table(
        "Hosts",
        ("Records", "Stream", "Host"),
        ((f"{one['records']:,}", one["stream"], one["host"]) for one in report["hosts"]),
        {0},
    )
    yield from _table(
        "Specimens by the ending of their names",
        ("Specimens", "Ending"),
        ((f"{one['specimens']:,}", one["ending"]) for one in report["specimen_kinds"]),
        {0},
    )
    yield "</body>\n</html>\n"


def _volumes(report: Mapping[str, Any]) -> Iterator[str]:
    rows = (
        (
            stream,
            f"{volume['objects']:,}",
            f"{volume['records']:,}",
            size_text(volume["bytes"]),
            size_text(volume["raw_bytes"]),
        )
        for stream, volume in report["streams"].items()
    )
    yield from _table("Volumes", ("Stream", "Objects", "Records", "Stored", "Unpacked"), rows, {1, 2, 3, 4})


def _errors(report: Mapping[str, Any]) -> Iterator[str]:
    if not report["errors"]:
        return
    yield f'<h2>Errors</h2>\n<p class="dim">{report["different_errors"]:,} different ones: messages that differ in '
    yield "numbers, names and places alone are one.</p>\n"
    yield '<div class="scroll"><table><thead><tr><th class="n">Count</th><th class="n">Users</th><th>Error</th>'
    yield "<th>First</th><th>Last</th><th>Over time</th></tr></thead><tbody>\n"
    for one in report["errors"]:
        users = f"{one['users']:,}" if one["users"] else "?"
        yield f'<tr><td class="n">{one["count"]:,}</td><td class="n">{users}</td>'
        yield f'<td class="w e">{_text(one["title"])}<br><code class="dim">{_text(one["id"])}</code></td>'
        yield f'<td class="t">{_text(one["first"] or "")}</td><td class="t">{_text(one["last"] or "")}</td>'
        yield f"<td>{sparkline('over time', one['times'])}</td></tr>\n"
    yield "</tbody></table></div>\n"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int]) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    kind = ['class="n"' if column in numbers else 'class="w"' for column in range(len(head))]
    yield f'<h2>{_text(title)}</h2>\n<div class="scroll"><table><thead><tr>'
    yield "".join(f"<th {kind[at]}>{_text(name)}</th>" for at, name in enumerate(head)) + "</tr></thead><tbody>\n"
    for row in listed:
        yield "<tr>" + "".join(f"<td {kind[at]}>{_text(cell)}</td>" for at, cell in enumerate(row)) + "</tr>\n"
    yield "</tbody></table></div>\n"
