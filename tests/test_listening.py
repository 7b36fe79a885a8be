"""What the listening gateway says of its ports."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from lf6gateway.edges.listening import open_to
from lf6gateway.values.settings_parse import parse_settings

PORTS = [
    IPv4Address("TCP", "127.0.0.1", 1),
    IPv6Address("TCP", "::1", 2),
    UNIXAddress("/run/socket"),
    IPv4Address("TCP", "192.0.2.7", 3),
    IPv6Address("TCP", "::", 4),
]
TLS = "http: {tls: {certificate: /c, key: /k, client_ca: /a"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("", ["192.0.2.7", "::"]),
        ("auth: {mode: tokens, tokens_file: /t}", []),
        (TLS + "}}", []),
        (TLS + ", client_certificate: optional}}", ["192.0.2.7", "::"]),
    ],
)
def test_where_others_can_send_under_any_name(text: str, warned: list[str]) -> None:
    settings = parse_settings("storage: {directory: /srv}\n" + text, "config.yml", {}, cwd="/", hostname="machine")
    found = open_to(settings, PORTS)
    assert len(found) == len(warned)
    assert all(f"host='{address}'" in one for address, one in zip(warned, found, strict=True))
