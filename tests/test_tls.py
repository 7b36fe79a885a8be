"""TLS: what the files must be, and that another certificate is for new connections alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.offload import inline
from lf6gateway.edges.tls import CannotSpeakTls, CurrentTls, certified_user, tls_options
from lf6gateway.values.settings_access import Tls
from tests.certificates import Authority
from tests.deferreds import result_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def handshake(server: Any, minimum: int | None = None, maximum: int | None = None, ciphers: bytes | None = None) -> Any:
    """The client's side of a connection in memory."""
    context = SSL.Context(SSL.TLS_METHOD)
    if minimum is not None:
        context.set_min_proto_version(minimum)
    if maximum is not None:
        context.set_max_proto_version(maximum)
    if ciphers is not None:
        context.set_cipher_list(ciphers)
    ends = [SSL.Connection(context), SSL.Connection(server.getContext())]
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    for _ in range(4):
        for one, other in (ends, ends[::-1]):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return ends[0]


def test_only_modern_tls_is_spoken(authority: Authority) -> None:
    certificate, key = authority.make("server", "localhost")
    options = tls_options(Tls(certificate=str(certificate), key=str(key)))
    assert handshake(options).get_protocol_version_name() == "TLSv1.3"
    old = handshake(options, maximum=SSL.TLS1_2_VERSION)
    assert old.get_protocol_version_name() == "TLSv1.2"
    assert "ECDHE" in old.get_cipher_name() and ("GCM" in old.get_cipher_name() or "POLY" in old.get_cipher_name())
    with pytest.raises(SSL.Error):
        handshake(options, minimum=SSL.TLS1_1_VERSION, maximum=SSL.TLS1_1_VERSION)
    with pytest.raises(SSL.Error):
        handshake(options, maximum=SSL.TLS1_2_VERSION, ciphers=b"ECDHE-ECDSA-AES128-SHA")


def test_what_is_wrong_with_the_files_is_said(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.make("server", "localhost")
    _, other = authority.make("other", "localhost")
    _, locked = authority.make("locked", "localhost", passphrase=b"secret")
    empty = tmp_path / "empty"
    empty.write_text("")
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for one, two, ca, words in (
        (empty, key, None, "holds no certificate"),
        (broken, key, None, "cannot be read"),
        (certificate, empty, None, "holds no private key"),
        (certificate, locked, None, "one with a passphrase"),
        (certificate, other, None, "is not the key of"),
        (certificate, key, empty, f"http.tls.client_ca {empty} holds no certificate"),
    ):
        with pytest.raises(ValueError, match=words):
            tls_options(Tls(certificate=str(one), key=str(two), client_ca=None if ca is None else str(ca)))


def test_another_certificate_is_taken_when_it_is_whole(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.make("server", "one")
    clock = Clock()
    current = CurrentTls(Tls(certificate=str(certificate), key=str(key)), clock=clock, offload=inline)
    result_of(Deferred.fromCoroutine(current.start()))

    def name() -> str:
        options: Any = current._options
        found: crypto.X509 = options.certificate
        return str(found.get_subject().CN)

    first = current._options
    clock.advance(10)
    assert current._options is first
    new_certificate, new_key = authority.make("new", "two")
    os.replace(new_certificate, certificate)
    clock.advance(2)  # the certificate is there, its key is not yet
    assert name() == "one"
    os.replace(new_key, key)
    clock.advance(2)
    assert name() == "two"
    result_of(current.stop())
    assert clock.getDelayedCalls() == []


def test_a_start_with_files_that_cannot_be_used_fails(authority: Authority, tmp_path: Path) -> None:
    certificate, _ = authority.make("server", "one")
    for key in (tmp_path / "none", authority.make("other", "x")[1]):
        tls = CurrentTls(Tls(certificate=str(certificate), key=str(key)), clock=Clock(), offload=inline)
        with pytest.raises(CannotSpeakTls, match=r"http\.tls"):
            result_of(Deferred.fromCoroutine(tls.start()))


@pytest.mark.parametrize(
    ("names", "user"), [(["alice"], "alice"), ([], ""), (["a", "b"], ""), (["../x"], ""), (["ä b"], "ä b")]
)
def test_a_certificate_names_a_user_by_its_one_common_name(authority: Authority, names: list[str], user: str) -> None:
    path, _ = authority.make("client", *names, client=True)

    class Transport:
        def getPeerCertificate(self) -> crypto.X509:
            return crypto.load_certificate(crypto.FILETYPE_PEM, path.read_bytes())

    assert certified_user(Transport()) == user


def test_a_connection_without_a_certificate_names_nobody() -> None:
    class Transport:
        def getPeerCertificate(self) -> None:
            return None

    assert certified_user(Transport()) is None
    assert certified_user(object()) is None
