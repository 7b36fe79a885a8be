"""What a client is told when its request fails: a problem of RFC 9457. Owns its fields and how they are written; must
never hold a traceback, a path or a secret, as everything in it is sent to the outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

TYPE_PREFIX: Final = "urn:lf6gateway:problem:"
"""What the ``type`` of each problem begins with; the problem's own name follows."""

CONTENT_TYPE: Final = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request failed.

    ``name`` never changes once published, for clients tell problems apart by it. ``retry_after`` is in seconds.
    ``headers`` go into the answer, ``more`` into its body, beside the fields that every problem has.
    """

    status: int
    name: str
    title: str
    detail: str
    retry_after: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    more: Mapping[str, str | int] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """The problem as JSON, on one line."""
        members: dict[str, str | int] = {
            "type": TYPE_PREFIX + self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        return msgspec.json.encode(members | dict(self.more))


class Refused(Exception):
    """A request fails with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.name}: {problem.detail}")
        self.problem = problem
