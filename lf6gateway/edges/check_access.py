"""The part of ``lf6gateway check`` that tries what proves users and what TLS needs. Owns the words of its report; must
never change a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lf6gateway.disk.offload import Offload
from lf6gateway.disk.tokens_file import open_to_others, read_tokens
from lf6gateway.edges.tls import tls_options
from lf6gateway.services.fetch import CannotFetch, fetch
from lf6gateway.values.jwks import LARGEST, parse_keys
from lf6gateway.values.settings import Settings
from lf6gateway.values.token_file import parse_tokens

Say = Callable[[str], None]


async def check_access(settings: Settings, reactor: Any, offload: Offload, say: Say) -> bool:
    """Try the tokens file, the issuer's keys and the certificate, as far as they are configured.

    :param say: takes one line of the report.
    :returns: whether the gateway could work with all of them.
    """
    auth, tls = settings.auth, settings.http.tls
    fine = True
    if auth.mode == "tokens":
        fine &= await _tried("auth.tokens_file", offload(lambda: _tokens(str(auth.tokens_file))), say)
    if auth.mode == "jwt":
        fine &= await _tried("auth.jwt_keys", _keys(settings, reactor, offload), say)
    if tls.certificate is not None:
        fine &= await _tried("http.tls", offload(lambda: _certificate(settings)), say)
    return fine


async def _tried(what: str, work: Awaitable[str], say: Say) -> bool:
    try:
        say(f"ok      {what}: {await work}")
    except (OSError, ValueError, CannotFetch) as error:
        say(f"FAILED  {what}: {error}")
        return False
    return True


def _tokens(path: str) -> str:
    found = parse_tokens(read_tokens(path), path)
    warning = f"; other users may read or write {path}, do: chmod 600 {path}" if open_to_others(path) else ""
    return f"{len(found)} tokens{warning}"


async def _keys(settings: Settings, reactor: Any, offload: Offload) -> str:
    source = str(settings.auth.jwt_keys)
    if "://" in source:
        try:
            text = await fetch(reactor, source, LARGEST)
        except CannotFetch:
            raise
        except Exception as error:
            raise CannotFetch(f"{source} could not be had: {str(error) or type(error).__name__}") from error
    else:
        text = await offload(lambda: _read(source))
    keys = parse_keys(text, settings.auth.jwt_algorithms)
    return f"{len(keys)} keys of {settings.auth.jwt_issuer}"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST)


def _certificate(settings: Settings) -> str:
    certificate = tls_options(settings.http.tls).certificate
    assert certificate is not None
    return f"the certificate is good until {certificate.to_cryptography().not_valid_after_utc.isoformat()}"
