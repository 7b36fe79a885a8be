"""The documents say nothing that is not there: each test that ARCHITECTURE.md names exists, each link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GUARD = re.compile(r"`(test_\w+\.py)`(?:: ([^;|]+))?")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def guards() -> Iterator[tuple[str, str]]:
    """File and words of each guard in the table of invariants."""
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Invariants")[2]
    for row in table.splitlines():
        if row.startswith("|"):
            for name, words in GUARD.findall(row.split("|")[2]):
                yield name, words.strip()


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as they are made on the usual hosts."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("name", "words"), sorted(set(guards())))
def test_each_guard_of_an_invariant_is_there(name: str, words: str) -> None:
    found = list((ROOT / "tests").rglob(name))
    assert len(found) == 1, f"ARCHITECTURE.md names {name}, of which there are {len(found)}"
    wanted = "test_" + re.sub(r"\W+", "_", words.lower().replace("'", "")).strip("_")
    assert not words or f"def {wanted}" in found[0].read_text(), f"{name} has no test whose name begins with {wanted}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path) if path else document
        assert there.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{document.name} links to {target}, and there is no such heading"
