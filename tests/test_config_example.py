"""``config.example.yml`` is true: it works as it is, and shows every key with the default it really has."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from lf6gateway.values.settings import KEYS, REQUIRED, Settings
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_print import plain_value

EXAMPLE = Path(__file__).parent.parent / "config.example.yml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
WITHOUT_HASH = re.sub(r"^( *)#(?=[a-z])", r"\1", TEXT, flags=re.MULTILINE)

SHOWN_WITH_AN_EXAMPLE = {"hostname", "storage.directory", "s3.usage_prefix", "s3.error_prefix", "s3.specimen_prefix"}
SHOWN_WITH_AN_EXAMPLE |= {"aws." + name for name in ("access_key_id", "secret_access_key", "session_token")}
SHOWN_WITH_AN_EXAMPLE |= {"aws.endpoint", "aws.profile", "aws.ca_bundle", *REQUIRED}
SHOWN_WITH_AN_EXAMPLE |= {"http.tls.certificate", "http.tls.key", "http.tls.client_ca", "audit.file"}
SHOWN_WITH_AN_EXAMPLE |= {"admin.token", "admin.token_file", "alerts.webhook"}
SHOWN_WITH_AN_EXAMPLE |= {"auth.tokens_file", "auth.jwt_issuer", "auth.jwt_keys"}
SHOWN_WITH_AN_EXAMPLE |= {f"limits.{who}_{what}" for who in ("user", "address") for what in ("requests", "bytes")}
SHOWN_WITH_AN_EXAMPLE |= {f"limits.daily_{stream}_bytes" for stream in ("usage", "error", "specimen")}


def parsed(text: str) -> Settings:
    return parse_settings(text, "config.example.yml", {}, cwd="/", hostname="machine")


def flat(mapping: dict[str, object], before: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in mapping.items():
        found.update(flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value})
    return found


def shown() -> dict[str, object]:
    # As the program reads it: on and off are words, not yes and no.
    return flat(yaml.load(WITHOUT_HASH, yaml.BaseLoader))


def test_it_works_as_it_is_and_changes_no_default() -> None:
    settings = parsed(TEXT)
    bare = parsed("storage: {directory: /srv}")
    for key in KEYS:
        if not key.startswith(("s3.", "storage.")):
            assert plain_value(settings, key) == plain_value(bare, key), key


def test_it_shows_every_key_and_no_other() -> None:
    assert set(shown()) == set(KEYS)


def test_every_key_has_a_line_of_words_above_it() -> None:
    lines = TEXT.splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(r" *#?[a-z_0-9]+:.*", line):
            assert re.fullmatch(r" *# .*[.:]", lines[number - 1]), line


def test_the_defaults_it_shows_are_the_defaults_of_the_program() -> None:
    bare = parsed("storage: {directory: /srv}")
    compared = 0
    for key, value in shown().items():
        if key in SHOWN_WITH_AN_EXAMPLE:
            continue
        given: object = value
        for name in reversed(key.split(".")):
            given = {name: given}
        given = yaml.safe_dump(given)
        settings = parsed(f"storage: {{directory: /srv}}\n{given}")
        assert plain_value(settings, key) == plain_value(bare, key), key
        compared += 1
    assert compared == len(KEYS) - len(SHOWN_WITH_AN_EXAMPLE)


def test_a_key_without_a_default_says_so() -> None:
    lines = TEXT.splitlines()
    for number, line in enumerate(lines):
        for key in SHOWN_WITH_AN_EXAMPLE:
            if re.fullmatch(rf" *#?{key.rpartition('.')[2]}:.*", line):
                assert "efault" in lines[number - 1], line
