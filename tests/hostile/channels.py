"""The HTTP channels that the catalogue is tried on. A channel that is added here has to pass all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.http_support import Gateway


@dataclass(frozen=True)
class Channel:
    """One HTTP channel: how a test gets a gateway in memory that uses it, and the configuration of a process that does."""

    name: str
    gateway: Callable[..., Gateway]
    config: Mapping[str, Any] = field(default_factory=dict)


CHANNELS = [Channel("twisted", Gateway)]
