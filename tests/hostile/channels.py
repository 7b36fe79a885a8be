"""The HTTP channels that the catalogue is tried on. A channel that is added here has to pass all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from tests.http_support import Gateway


@dataclass(frozen=True)
class Channel:
    """One HTTP channel: how a test gets a gateway in memory that uses it, and the configuration of a process that does."""

    name: str
    gateway: Callable[..., Gateway]
    config: Mapping[str, Any] = field(default_factory=dict)


def _named(name: str) -> Channel:
    return Channel(name, partial(Gateway, channel=name), {"http": {"channel": name}})


CHANNELS = [_named("twisted")]
if find_spec("httptools") is not None:
    CHANNELS.append(_named("httptools"))
