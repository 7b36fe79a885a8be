"""What is said of the operators' listener and of the alerts, right and wrong."""

from __future__ import annotations

import pytest

from lf6gateway.values.settings import Settings, reveal, value_of
from lf6gateway.values.settings_admin import Address, address_of
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_print import MASK, for_workers, masked_yaml
from lf6gateway.values.settings_problem import SettingsError

TOKEN = "0123456789abcdef"


def parsed(text: str = "", **environ: str) -> Settings:
    whole = f"storage: {{directory: /srv}}\n{text}"
    return parse_settings(
        whole, "config.yml", {f"LIGHTFILE6_{k}": v for k, v in environ.items()}, cwd="/", hostname="h"
    )


def problem(text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        parsed(text)
    assert len(raised.value.problems) == 1, str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:9606", Address("127.0.0.1", 9606)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:80", Address("localhost", 80)),
        ("gateway-1.internal:65535", Address("gateway-1.internal", 65535)),
        ("off", None),
        ("", None),
    ],
)
def test_addresses(text: str, wanted: Address | None) -> None:
    assert address_of(text) == wanted


@pytest.mark.parametrize(
    "text", ["9606", ":9606", "127.0.0.1", "127.0.0.1:65536", "::1:9606", "[zz]:1", "a b:1", "http://a:1", "[1.2.3:4"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no address to listen on"):
        address_of(text)


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "off"])
def test_this_machine_alone_needs_no_token(listen: str) -> None:
    assert parsed(f"admin: {{listen: '{listen}'}}").admin.named


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "gateway:1"])
def test_others_need_a_token(listen: str) -> None:
    assert "admin.token" in problem(f"admin: {{listen: '{listen}'}}")
    assert reveal(parsed(f"admin: {{listen: '{listen}', token: {TOKEN}}}").admin.token) == TOKEN
    assert parsed(f"admin: {{listen: '{listen}', token_file: token}}").admin.token_file == "/token"


def test_what_is_named_is_known() -> None:
    assert not parsed().admin.named
    assert not parsed("admin: {hosts: a}").admin.named
    assert parsed("admin: {listen: 127.0.0.1:9606}").admin.named
    assert parsed(ADMIN_LISTEN="127.0.0.1:9606").admin.named


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("admin: {token: short}", "16 characters"),
        (f"admin: {{token: {TOKEN}, token_file: /x}}", "keep one of them"),
        ("admin: {hosts: ['http://a']}", "no host name"),
        ("alerts: {webhook: ftp://a/secret}", "no URL of http or https"),
        ("alerts: {webhook: 'https://u:secret@a/'}", "user name"),
        ("alerts: {format: teams}", "not one of json, slack, alertmanager"),
        ("alerts: {disabled: [disc]}", "is not one of records_wait"),
        ("alerts: {spool_percent: 101}", "from 1 to 100"),
    ],
)
def test_mistakes_are_told_without_secrets(text: str, words: str) -> None:
    told = problem(text)
    assert words in told and "secret" not in told.replace("a secret", "")


def test_secrets_are_in_no_print_out_and_not_told_to_workers() -> None:
    settings = parsed(f"admin: {{token: {TOKEN}}}\nalerts: {{webhook: 'https://hooks.example/SECRET'}}")
    for text in (masked_yaml(settings), for_workers(settings), repr(settings)):
        assert TOKEN not in text and "SECRET" not in text
    assert f"token: '{MASK}'" in masked_yaml(settings)
    assert "admin:" not in for_workers(settings) and "alerts:" not in for_workers(settings)
    again = parse_settings(for_workers(settings), "the gateway", {}, cwd="/", hostname="h")
    assert value_of(again, "cache_dir") == value_of(settings, "cache_dir")
