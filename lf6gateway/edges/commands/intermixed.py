"""A parser that takes options before, between and behind the words of a command, as people type them. Owns that alone;
must never know a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class Intermixed(argparse.ArgumentParser):
    """``cat specimen --from PLACE KEY``: without this, KEY would have to follow right behind specimen."""

    _inside = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """See ``argparse``."""
        nested = any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in self._actions)
        if self._inside or nested or "--" in (args or ()):  # behind that nothing is an option
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False
