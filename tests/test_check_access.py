"""``lf6gateway check`` tries what proves users and what TLS needs, before the daemon does."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.offload import inline
from lf6gateway.edges.check_access import check_access
from lf6gateway.values.settings_parse import parse_settings
from tests import issuer
from tests.certificates import Authority
from tests.deferreds import result_of
from tests.test_token_file import LINE


def checked(text: str) -> tuple[bool, str]:
    settings = parse_settings(f"storage: {{directory: /srv}}\n{text}", "config.yml", {}, cwd="/", hostname="machine")
    lines: list[str] = []
    fine = result_of(Deferred.fromCoroutine(check_access(settings, Clock(), inline, lines.append)))
    return fine, "\n".join(lines)


def test_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    text = f"auth: {{mode: tokens, tokens_file: {path}}}"
    assert checked(text)[0] is False
    path.write_text("nonsense")
    fine, said = checked(text)
    assert not fine and f"FAILED  auth.tokens_file: {path}:1: is not of the form" in said
    path.write_text(LINE)
    path.chmod(0o644)
    fine, said = checked(text)
    assert fine and "1 tokens; other users may read or write" in said
    path.chmod(0o600)
    assert checked(text) == (True, "ok      auth.tokens_file: 1 tokens")


def test_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    text = f"auth: {{mode: jwt, jwt_issuer: '{issuer.ISSUER}', jwt_audience: [a], jwt_keys: {path}}}"
    assert checked(text)[0] is False
    path.write_text(issuer.keys(issuer.jwk("RSA", "one")))
    assert checked(text) == (True, f"ok      auth.jwt_keys: 1 keys of {issuer.ISSUER}")


def test_certificates(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).make("server", "localhost")
    text = f"http: {{tls: {{certificate: {certificate}, key: {key}}}}}"
    fine, said = checked(text)
    assert fine and "ok      http.tls: the certificate is good until 2" in said
    key.unlink()
    fine, said = checked(text)
    assert not fine and "FAILED  http.tls" in said


def test_nothing_configured_is_nothing_to_try() -> None:
    assert checked("") == (True, "")
