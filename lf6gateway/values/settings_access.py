"""The keys that say who may send, and how much. Owns these sections, their defaults and the form of their values; must
never read a file or the environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from lf6gateway.values.duration import parse_duration
from lf6gateway.values.networks import Networks, is_loopback, parse_networks
from lf6gateway.values.rate import Rate, parse_rate
from lf6gateway.values.settings_fields import AbsolutePath, Span, amount, choice, count
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.settings_section import Section
from lf6gateway.values.size import TIB

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""How a token may be signed: with a private key, always. A shared secret or no signature is never taken."""


def _several(read: Callable[[tuple[str, ...]], Any]) -> BeforeValidator:
    """Reads a list of texts; as one text they are separated by blanks."""

    def parsed(value: Any) -> Any:
        if isinstance(value, str):
            return read(tuple(value.split()))
        return read(tuple(value)) if isinstance(value, Sequence) else value

    return BeforeValidator(parsed)


def _words(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not text or not text.isprintable():
            raise ValueError(f"{shown(text)} is empty or holds a character that cannot be printed; remove it")
    return texts


def _algorithms(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if text not in ALGORITHMS:
            raise ValueError(
                f"{shown(text)} is not one of {', '.join(ALGORITHMS)}; a shared secret (HS256) or no signature (none) "
                "is never taken"
            )
    if not texts:
        raise ValueError(f"is empty; name at least one of {', '.join(ALGORITHMS)}")
    return texts


def _rate(of_bytes: bool) -> BeforeValidator:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_rate(value, of_bytes=of_bytes)
        except ValueError as error:
            raise ValueError(f"{shown(value)} {error}") from None

    return BeforeValidator(read)


def _claim(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[\x21-\x7e]{1,200}", value):
        raise ValueError(f"{shown(value)} is no name of a claim; write one like sub, email or preferred_username")
    return value


def _keys(value: Any) -> Any:
    # A URL is not repeated in a message: it is a place where people put passwords.
    if not isinstance(value, str):
        return value
    if "://" not in value:
        if not value.startswith("/"):
            raise ValueError(f"{shown(value)} is neither an https URL nor the absolute path of a file")
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no URL; write it like https://login.example.com/jwks.json") from None
    if "@" in parts.netloc or "#" in value:
        raise ValueError("has a user name or a fragment in it; remove it")
    if not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("is no URL; write it like https://login.example.com/jwks.json")
    if parts.scheme == "https" or (parts.scheme == "http" and _this_machine(parts.hostname)):
        return value
    raise ValueError(
        "is not an https URL: whoever can change the keys on their way decides who is who; use https, or the path "
        "of a file"
    )


def _this_machine(host: str) -> bool:
    return host == "localhost" or (host.replace(".", "").replace(":", "").isalnum() and _numeric(host))


def _numeric(host: str) -> bool:
    return re.fullmatch(r"[0-9.]+|[0-9a-f:]+", host) is not None and is_loopback(host)


Words = Annotated[tuple[str, ...], _several(_words)]
"""Some texts without blanks."""
Peers = Annotated[Networks, _several(parse_networks)]
"""Networks, and ``unix`` for peers without an address."""
Requests = Annotated[Rate, _rate(False)]
"""So many requests in a span."""
Volume = Annotated[Rate, _rate(True)]
"""So many bytes in a span."""
Quota = Annotated[int, amount(1, 1024 * TIB)]
"""Bytes."""


class Tls(Section):
    """TLS on the public port; where a certificate is named, -p and every tcp and systemd endpoint speak it."""

    certificate: AbsolutePath | None = None
    """A PEM file: the server's certificate, then those between it and its root."""
    key: AbsolutePath | None = None
    """The PEM file of the certificate's private key."""
    client_ca: AbsolutePath | None = None
    """A PEM file of the authorities that may sign clients' certificates; with it clients are asked for one."""
    client_certificate: Annotated[Literal["required", "optional"], choice("required", "optional")] = "required"
    """Whether a client without a certificate is let in, where ``client_ca`` is set."""


class Auth(Section):
    """How it is decided who sends a request."""

    mode: Annotated[Literal["open", "tokens", "jwt"], choice("open", "tokens", "jwt")] = "open"
    """``open``: the token is the user's name; ``tokens``: it stands in ``tokens_file``; ``jwt``: it is signed."""
    tokens_file: AbsolutePath | None = None
    """Who may send with which token, for ``tokens``; ``lf6gateway token`` edits it."""
    jwt_issuer: Annotated[str, BeforeValidator(_claim)] | None = None
    """Who must have issued a token, exactly as its ``iss`` says."""
    jwt_audience: Words = ()
    """For whom a token must be meant; one of these must be in its ``aud``."""
    jwt_algorithms: Annotated[tuple[str, ...], _several(_algorithms)] = ("RS256", "ES256")
    """How a token may be signed."""
    jwt_keys: Annotated[str, BeforeValidator(_keys)] | None = None
    """The issuer's public keys (JWKS): an https URL (http on this machine alone), or the path of a file."""
    jwt_keys_refresh: Span = parse_duration("10m")
    """How often the keys are fetched anew from a URL."""
    jwt_user_claim: Annotated[str, BeforeValidator(_claim)] = "sub"
    """The claim that names the user."""
    jwt_leeway: Span = parse_duration("30s")
    """How far the issuer's clock may be off."""
    certificate_user: Annotated[Literal["common_name", "ignored"], choice("common_name", "ignored")] = "common_name"
    """Whether the common name of a client certificate's subject is the user, before any token."""
    max_cached: Annotated[int, count(1, 100_000_000)] = 100_000
    """How many tokens that were found good are remembered."""
    failure_delay: Span = parse_duration("500ms")
    """How long the answer to a wrong token is held back; doubled with each more from the same address, up to 30s."""


class HowMuch(Section):
    """Who may send at all, and how much of it."""

    allow: Peers = parse_networks(())
    """Networks that may send; none: all."""
    deny: Peers = parse_networks(())
    """Networks that may not send, also where ``allow`` has them."""
    user_requests: Requests | None = None
    """How many requests a user may send."""
    user_bytes: Volume | None = None
    """How many bytes of bodies a user may send."""
    address_requests: Requests | None = None
    """How many requests may come from an address."""
    address_bytes: Volume | None = None
    """How many bytes of bodies may come from an address."""
    daily_usage_bytes: Quota | None = None
    """How many bytes of usage reports a user may send in a day of UTC."""
    daily_error_bytes: Quota | None = None
    """How many bytes of error reports a user may send in a day of UTC."""
    daily_specimen_bytes: Quota | None = None
    """How many bytes of specimens a user may send in a day of UTC."""
    max_tracked: Annotated[int, count(100, 100_000_000)] = 100_000
    """How many users, and how many addresses, are counted at once; those seen longest ago are forgotten first."""


class Audit(Section):
    """The audit trail."""

    file: AbsolutePath | None = None
    """Where each request and each change of a token is written down, one JSON object a line."""
