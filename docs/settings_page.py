"""Writes ``docs/configuration.md``: every key of the configuration as the program itself has it. Owns the form of that
page; must know no more keys by name than it has to, so that a new one is there by itself.

    python docs/settings_page.py            writes the page
    python docs/settings_page.py --check    ends with 1 if it is not what would be written
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BeforeValidator

from lf6gateway.services.gateway import LIVE
from lf6gateway.values import settings_access, settings_admin, settings_alerts, settings_fields
from lf6gateway.values.duration import Duration
from lf6gateway.values.settings import KEYS, LISTS, REQUIRED, SECTIONS, Settings
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_print import plain_value
from lf6gateway.values.settings_source import variable
from lf6gateway.values.size import format_size

PAGE: Final = Path(__file__).with_name("configuration.md")

KINDS: Final = {
    settings_fields.AbsolutePath: "path; one that is not absolute begins where the program was started",
    settings_fields.Bucket: "name of a bucket",
    settings_fields.Endpoint: "URL",
    settings_fields.Hostname: "name",
    settings_fields.Listen: "list of Twisted endpoint strings",
    settings_fields.Prefix: "beginning of a key",
    settings_fields.Profile: "name of a profile",
    settings_fields.Region: "name of a region",
    settings_fields.Secret: "secret",
    settings_fields.Workers: "whole number, or `auto`",
    settings_access.Peers: "list of networks, as `10.0.0.0/8`",
    settings_access.Requests: "rate of requests, as `600/1m`",
    settings_admin.Hosts: "list of host names",
    settings_admin.Listening: "address and port, as `127.0.0.1:9606` or `[::1]:9606`, or `off`",
    settings_admin.Token: "secret, of 16 characters at least",
    settings_alerts.Rules: f"list of {', '.join(f'`{name}`' for name in settings_alerts.NAMES)}",
    settings_alerts.Url: "URL, which is a secret",
    settings_access.Volume: "rate of bytes, as `100MiB/1h`",
}
"""The kinds of value that have a name of their own in the program."""

HEAD: Final = """\
# Configuration

<!-- Written by docs/settings_page.py from lf6gateway/values/settings*.py; change those, then: make docs -->

The configuration is a YAML file, `/etc/lightfile6/config.yml` unless `-c` names another.
[config.example.yml](../config.example.yml) shows every key with its default, ready to be copied. What you must set is
the three buckets, or `storage.directory` in their place.

- A duration is written as in Go: `500ms`, `90s`, `10m`, `1h30m`. A size is `512MiB`, `10GiB`, `5MB`, or plain bytes.
- Each key is overridden by its environment variable. One that is empty counts as not set; lists are separated by blanks
  there.
- *At once* means that SIGHUP (`systemctl reload lf6gateway`) is enough; *at a restart*, that the log names the key and
  it waits for the next start.
- `lf6gateway check -c config.yml --print` shows what is in force, secrets masked.

"""


def _validators(annotation: Any, metadata: list[Any]) -> list[BeforeValidator]:
    found = [one for one in metadata if isinstance(one, BeforeValidator)]
    for part in get_args(annotation):
        found += _validators(part, list(getattr(part, "__metadata__", ())))
    return found


def _plain(annotation: Any) -> Any:
    """The type without ``None`` and without what is annotated to it."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is not Literal and type(None) in get_args(annotation) and len(parts) == 1:
        annotation = parts[0]
    return getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation


def kind(key: str) -> str:
    """What a key takes, in words."""
    section, _, name = key.rpartition(".")
    field = SECTIONS[section].model_fields[name]
    validators = _validators(field.annotation, list(field.metadata))
    for known, words in KINDS.items():
        if any(one is mine for one in validators for mine in known.__metadata__):
            return words
    plain = _plain(field.annotation)
    if get_origin(plain) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(plain))
    if plain is Duration:
        return "duration"
    if plain is bool:
        return "`true` or `false`"
    for one in validators:
        bounds = inspect.getclosurevars(one.func).nonlocals
        if {"least", "most"} <= bounds.keys():
            size = one.func.__qualname__.startswith("amount.")
            least, most = (format_size(bounds[end]) if size else f"{bounds[end]:,}" for end in ("least", "most"))
            return f"{'size' if size else 'whole number'} from {least} to {most}"
    return "list of texts" if key in LISTS else "text"


def default(key: str, bare: Settings) -> str:
    """What a key is where nothing is said, in words."""
    if key in REQUIRED or key == "storage.directory":
        return "none; the three buckets are required, or `storage.directory` in their place"
    if key == "hostname":
        return "the machine's own name"
    section = key.partition(".")[0]
    field = SECTIONS[key.rpartition(".")[0]].model_fields[key.rpartition(".")[2]]
    value = field.default if getattr(bare, section) is None else plain_value(bare, key)
    if value is None or value in ("", [], ()):
        return "none"
    if isinstance(value, list | tuple):
        return "`" + " ".join(str(one) for one in value) + "`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _words(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split())


def page() -> str:
    """The whole page."""
    bare = parse_settings("storage: {directory: /srv}", "-", {}, cwd="/", hostname="machine")
    parts = [HEAD]
    for section, model in SECTIONS.items():
        keys = [key for key in KEYS if key.rpartition(".")[0] == section]
        if not keys:
            continue
        if section:
            parts.append(f"## `{section}`\n\n{_words(inspect.getdoc(model))}\n\n")
        else:
            parts.append("## Keys at the top\n\n")
        for key in keys:
            field = model.model_fields[key.rpartition(".")[2]]
            parts.append(
                f"### `{key}`\n\n{_words(field.description)}\n\n"
                f"- takes: {kind(key)}\n"
                f"- default: {default(key, bare)}\n"
                f"- environment: `{variable(key)}`\n"
                f"- changes: {'at once' if key in LIVE else 'at a restart'}\n\n"
            )
    return "".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        raise SystemExit(0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE} is out of date; run: make docs")
    PAGE.write_text(page(), encoding="utf-8")
