"""Reads the shipped Dockerfile as far as the tests need it: its instructions, in order, with continued lines joined."""

from __future__ import annotations

import json
import re
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().parents[1] / "deploy" / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction, as ``RUN`` and what is behind it."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in whole.splitlines())]


def all_of(name: str) -> list[str]:
    """What is behind each instruction of that name."""
    return [rest for word, rest in instructions() if word == name]


def environment() -> dict[str, str]:
    """The variables of the last stage."""
    return dict(pair.split("=", 1) for pair in all_of("ENV")[-1].split())


def entrypoint() -> list[str]:
    """The words the container starts with."""
    (words,) = all_of("ENTRYPOINT")
    found: list[str] = json.loads(words)
    return found


def healthcheck() -> list[str]:
    """The words of the health check."""
    (text,) = all_of("HEALTHCHECK")
    found: list[str] = json.loads(text[text.index("[") :])
    return found
