"""Whom a proxy forwards, and whom it is not believed; networks and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.forwarded import _from_the_right, client_of
from lf6gateway.values.networks import is_loopback, parse_networks, plain_address, sender

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:1::/48", "unix"])
XFF = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        ("192.0.2.7", [b"1.1.1.1"], "192.0.2.7"),  # no proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"6.6.6.6, 192.0.2.1"], "192.0.2.1"),  # the left is the client's invention
        ("10.0.0.1", [b"6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", [b"6.6.6.6", b"192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"192.0.2.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1, nonsense, 10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", [b"[2001:db8::7]:4711"], "2001:db8::7"),
        ("2001:db8:1::5", [b"2001:DB8::7"], "2001:db8::7"),
        ("/run/socket", [b"192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"10.0.0.2," * 5000 + b"10.0.0.2"], "10.0.0.2"),
    ],
)
def test_x_forwarded_for(peer: str, values: list[bytes], client: str) -> None:
    assert client_of(peer, PROXIES, XFF, values) == client


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([b"for=192.0.2.1"], "192.0.2.1"),
        ([b"For=192.0.2.1;proto=https;by=10.0.0.1"], "192.0.2.1"),
        ([b'proto=https; for="[2001:db8::7]:4711"'], "2001:db8::7"),
        ([b"for=6.6.6.6, for=192.0.2.1"], "192.0.2.1"),
        ([b'for=6.6.6.6;host="a, for=7.7.7.7", for=192.0.2.1, for=10.0.0.8'], "192.0.2.1"),
        ([b"for=192.0.2.1, for=unknown"], "10.0.0.1"),
        ([b"for=192.0.2.1, for=_hidden"], "10.0.0.1"),
        ([b"for=192.0.2.1, proto=http"], "10.0.0.1"),
        ([b"for=192.0.2.1, for=1.1.1.1;for=2.2.2.2"], "10.0.0.1"),
        ([b'for="192.0.2.1'], "10.0.0.1"),
        # What a client has begun with, and a proxy has appended to.
        ([b'for=6.6.6.6;x=", for=192.0.2.1;host="gw"'], "192.0.2.1"),
        ([b'for="x, for="[2001:db8::7]"'], "2001:db8::7"),
        ([b'for=6.6.6.6;x="\\", for=192.0.2.1;host="a\\",b\\\\"'], "192.0.2.1"),
        ([b'"' * 9_999 + b", for=192.0.2.1"], "192.0.2.1"),
        ([b'\\"' * 9_999 + b", for=192.0.2.1"], "192.0.2.1"),
    ],
)
def test_forwarded(values: list[bytes], client: str) -> None:
    assert client_of("10.0.0.1", PROXIES, "Forwarded", values) == client


@given(st.lists(st.binary(max_size=60), max_size=3), st.sampled_from([XFF, "Forwarded"]))
def test_whatever_is_sent_gives_an_address(values: list[bytes], field: str) -> None:
    found = client_of("10.0.0.1", PROXIES, field, values)
    assert plain_address(found) == found


def test_addresses() -> None:
    assert plain_address("::FFFF:192.0.2.1") == "192.0.2.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("/run/x") == "unix"
    assert sender("2001:db8::7:8") == sender("2001:db8::1") == "2001:db8::/64"
    assert sender("192.0.2.7") == "192.0.2.7"
    assert [is_loopback(one) for one in ("127.3.3.3", "::1", "::ffff:127.0.0.1", "/x", "::", "0.0.0.0", "8.8.8.8")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_elements_of_a_field_are_those_between_its_commas() -> None:
    text = 'a="1,2";b, c="\\\\",d="\\",",e'
    assert list(_from_the_right(text)) == ["e", 'd="\\","', ' c="\\\\"', 'a="1,2";b']
