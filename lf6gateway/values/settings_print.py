"""The settings in force as text that a person reads. Owns the masking of secrets; must never show one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import yaml

from lf6gateway.values.duration import Duration
from lf6gateway.values.networks import Networks
from lf6gateway.values.rate import Rate
from lf6gateway.values.settings import KEYS, SECRETS, Settings, value_of
from lf6gateway.values.size import format_size

MASK: Final = "***"
"""What stands in the place of a secret."""
_NOT_FOR_WORKERS: Final = frozenset({"admin", "alerts"})


def plain_value(settings: Settings, key: str) -> Any:
    """A key's value as YAML has it: spans and amounts in their units, a secret masked, ``None`` where it is not set."""
    value = value_of(settings, key)
    if value is None:
        return None
    if key in SECRETS:
        return MASK
    if isinstance(value, Duration | Rate):
        return str(value)
    if isinstance(value, Networks):
        return list(value.names)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, int) and _is_amount(key):
        return format_size(value)
    return value


def masked_yaml(settings: Settings) -> str:
    """The whole configuration with its defaults as YAML, secrets masked; what is not set is ``null``."""
    return _yaml(settings, KEYS)


def for_workers(settings: Settings) -> str:
    """What the processes that serve the public port are told of the configuration, as YAML."""
    return _yaml(settings, tuple(key for key in KEYS if key.partition(".")[0] not in _NOT_FOR_WORKERS))


def _yaml(settings: Settings, keys: Iterable[str]) -> str:
    nested: dict[str, Any] = {}
    for key in keys:
        *sections, last = key.split(".")
        if sections and value_of(settings, sections[0]) is None:
            continue
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = plain_value(settings, key)
    return yaml.safe_dump(nested, sort_keys=False, allow_unicode=True, width=1000)


def _is_amount(key: str) -> bool:
    last = key.rpartition(".")[2]
    return last.endswith("_bytes") or last in ("max_report", "max_batch", "max_specimen")
