"""What is wrong with a configuration, told so that it can be mended at once. Owns the form of a problem; must never
hold a value that could be a secret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was said: a file with line and column (from 1), or an environment variable, by name alone."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    :param place: where it is.
    :param key: the configuration key, as ``s3.usage_bucket``; empty where none is concerned.
    :param what: what is wrong and what would be right, without a secret.
    """

    place: Place
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.what}" if self.key else f"{self.place}: {self.what}"


class SettingsError(Exception):
    """A configuration that cannot be used; the text lists every problem, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def shown(text: str) -> str:
    """A piece of someone's input, cut and escaped, for a message of one line."""
    cut = text if len(text) <= 60 else text[:57] + "..."
    return cut if cut.isprintable() and cut else ascii(cut)
