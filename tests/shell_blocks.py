"""The commands in a document, and how they are to be run. Owns the marks that stand in HTML comments before them, which a
reader does not see:

``<!-- not run: REASON -->``                the next block of commands is not run, for this reason
``<!-- run by: FILE -->``                   the next block is run by that test, with what it takes
``<!-- run: COMMANDS -->``                  commands that a reader has no need of, run in this place
``<!-- background until: COMMANDS -->``     the next block goes on running; these succeed when it is ready
``<!-- fails -->``                          the next block ends with an error, and is to
``<!-- prints -->``                         the next block is what the one before printed; … stands for anything
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_MARK = r"<!--\s+(?P<kind>not run|run by|run|background until|fails|prints)(?::\s+(?P<words>.*?))?\s*-->"
_FENCE = r"```(?P<language>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```"
_PIECE = re.compile(rf"^(?P<indent> *)(?:{_MARK}|{_FENCE})[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """Commands of a document.

    :param line: where they stand in it.
    :param reason: why they are not run; ``None`` if they are.
    :param until: what succeeds once they do what they go on doing; ``None`` if they end by themselves.
    :param fails: whether they are to end with an error.
    :param prints: pieces of what they print, in order.
    """

    line: int
    commands: str
    reason: str | None = None
    until: str | None = None
    fails: bool = False
    prints: list[str] = field(default_factory=list)


class Misplaced(ValueError):
    """A mark stands before something that it says nothing of."""


def blocks(document: Path) -> list[Block]:
    """The commands of a document in order.

    :raises Misplaced: a mark is not followed by the block it is for.
    """
    found: list[Block] = []
    pending: dict[str, str] = {}
    for line, kind, language, text in _pieces(document.read_text(encoding="utf-8")):
        if kind == "run":
            found.append(Block(line, text))
        elif kind:
            pending[kind] = text
        elif "prints" in pending:
            if not found or language == "sh":
                raise Misplaced(f"{document.name}:{line}: «prints» stands before a block that is no output")
            found[-1].prints += [piece for piece in re.split(r"\s*…\s*", text.strip()) if piece]
            pending.clear()
        elif language == "sh":
            reason = pending.get("not run")
            if "run by" in pending:
                if not (ROOT / pending["run by"]).is_file():
                    raise Misplaced(f"{document.name}:{line}: there is no {pending['run by']}")
                reason = f"it is run by {pending['run by']}"
            found.append(Block(line, text, reason, pending.get("background until"), "fails" in pending))
            pending.clear()
        elif pending:
            raise Misplaced(f"{document.name}:{line}: «{next(iter(pending))}» stands before a block of no commands")
    if pending:
        raise Misplaced(f"{document.name}: «{next(iter(pending))}» stands before nothing")
    return found


def languages(document: Path) -> Iterator[tuple[int, str, str]]:
    """Line, language and text of each fenced block."""
    for line, kind, language, text in _pieces(document.read_text(encoding="utf-8")):
        if not kind:
            yield line, language, text


def _pieces(text: str) -> Iterator[tuple[int, str, str, str]]:
    for piece in _PIECE.finditer(text):
        line = text.count("\n", 0, piece.start()) + 1
        if piece["kind"]:
            yield line, piece["kind"], "", (piece["words"] or "").strip()
        else:
            yield line, "", piece["language"].strip(), textwrap.dedent(piece["body"])
