"""Proof by signed tokens: only what the issuer signed for us counts, and its keys are kept up to date."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lf6gateway.disk.offload import inline
from lf6gateway.services.signed_tokens import SignedTokenProof, Terms, _UnknownKey, check
from lf6gateway.services.tokens import CannotRead
from lf6gateway.values.jwks import parse_keys
from lf6gateway.values.who import CannotTell, NotProven, Who
from tests.deferreds import result_of, unfired
from tests.issuer import AUDIENCE, ISSUER, jwk, keys, private_key, signed

TERMS = Terms(ISSUER, (AUDIENCE, "other"), ("RS256", "ES256", "EdDSA"), "sub", 30.0)
PUBLISHED = parse_keys(keys(jwk("RSA", "one"), jwk("P-256", "two"), jwk("Ed25519", "three")), TERMS.algorithms)


def whose(token: bytes, terms: Terms = TERMS) -> Who:
    return check(token, PUBLISHED, terms)


def encoded(part: Any) -> bytes:
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=")


def claims(**more: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "mallory", "exp": int(time.time()) + 600} | more


@pytest.mark.parametrize(("kind", "kid"), [("RSA", "one"), ("P-256", "two"), ("Ed25519", "three"), ("RSA", None)])
def test_what_the_issuer_signed_counts_until_it_expires(kind: str, kid: str | None) -> None:
    until = int(time.time()) + 77
    who = whose(signed(kind, kid, exp=until))
    assert (who.user, who.until_s, who.streams) == ("alice", until + 30, None)


def test_another_claim_may_name_the_user_and_one_of_several_audiences_will_do() -> None:
    terms = Terms(ISSUER, (AUDIENCE,), ("RS256",), "email", 30.0)
    assert whose(signed(email="a@example.com", aud=["x", AUDIENCE]), terms).user == "a@example.com"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(iss="https://login.example.com"), id="another issuer, if only by a slash"),
        pytest.param(signed(iss=None), id="no issuer"),
        pytest.param(signed(aud="elsewhere"), id="meant for others"),
        pytest.param(signed(aud=None), id="meant for nobody"),
        pytest.param(signed(exp=int(time.time()) - 40), id="expired beyond the leeway"),
        pytest.param(signed(exp=None), id="without an end"),
        pytest.param(signed(exp=1e400), id="an end that is no number"),
        pytest.param(signed(nbf=int(time.time()) + 80_000), id="not yet"),
        pytest.param(signed(sub=None), id="without a user"),
        pytest.param(signed(sub="../x"), id="a user that cannot be one"),
        pytest.param(signed(sub=""), id="an empty user"),
        pytest.param(signed(number=1), id="signed by another key of that name"),
        pytest.param(signed("P-256", "two", number=1), id="the same with a curve"),
        pytest.param(signed(alg="RS512"), id="an algorithm that is not configured"),
        pytest.param(signed(head={"crit": ["x"], "x": 1}), id="a critical extension"),
        pytest.param(signed()[:-10] + b"AAAAAAAAAA", id="a changed signature"),
        pytest.param(signed().rpartition(b".")[0] + b".", id="no signature"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"alice", id="no token"),
        pytest.param(b"..", id="empty parts"),
        pytest.param(b"\xff.\xff.\xff", id="no text"),
        pytest.param(encoded([1]) + b".e30.e30", id="a head that is a list"),
        pytest.param(encoded({"alg": ["RS256"]}) + b".e30.e30", id="an algorithm that is a list"),
        pytest.param(b"[" * 2000 + b".e30.e30", id="deep"),
    ],
)
def test_whatever_is_not_as_it_must_be_proves_nothing(token: bytes) -> None:
    with pytest.raises(NotProven):
        whose(token)


def test_the_leeway_is_for_clocks_that_are_a_little_off() -> None:
    assert whose(signed(exp=int(time.time()) - 20, nbf=int(time.time()) + 20)).user == "alice"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_a_token_without_a_signature_proves_nothing(alg: str) -> None:
    for kid in ({}, {"kid": "one"}):
        head = encoded({"alg": alg, "typ": "JWT"} | kid) + b"." + encoded(claims())
        for signature in (b".", b".e30"):
            with pytest.raises(NotProven):
                whose(head + signature)


def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    public = private_key("RSA").public_key()
    texts = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk("RSA", "one")).encode(),
        b"",
    ]
    for secret in texts:
        signing = encoded({"alg": "HS256", "kid": "one"}) + b"." + encoded(claims())
        token = signing + b"." + encoded(hmac.new(secret, signing, hashlib.sha256).digest())
        with pytest.raises(NotProven):
            whose(token)
        # Not even where somebody has published a shared secret, or means to check RS256 with it.
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "HS256"}
    with pytest.raises(ValueError, match="holds no public key"):
        parse_keys(keys(secret), TERMS.algorithms)
    with pytest.raises(ValueError, match="holds no public key"):
        parse_keys(keys(secret | {"alg": "RS256"}), TERMS.algorithms)


def test_a_token_cannot_bring_its_own_key_or_choose_another_s_algorithm() -> None:
    stranger = jwk("RSA", "mine", number=1)
    with pytest.raises(_UnknownKey):
        whose(signed(kid="mine", number=1, head={"jwk": stranger, "jku": "https://evil.example.com/"}))
    with pytest.raises(_UnknownKey):
        whose(signed(kid="two"))  # RS256, but the key of that name is for ES256
    with pytest.raises(_UnknownKey):
        check(signed(kid=None), PUBLISHED + parse_keys(keys(stranger), TERMS.algorithms), TERMS)  # which of two?


@pytest.mark.parametrize(
    "published",
    [
        "", "[]", "{}", '{"keys": {}}', '{"keys": []}', '{"keys": [1, {}]}', "[" * 100_000,
        keys(jwk("RSA", "one", use="enc")), keys(jwk("RSA", "one", alg="RS512")), keys(jwk("RSA", "one", key_ops=["encrypt"])),
        keys(jwk("RSA", "one", key_ops=None)),
        keys(jwk("RSA-1024", "one")), keys(jwk("P-384", "one")), keys({"kty": "RSA", "n": "x", "e": "y"}),
    ],
)  # fmt: skip
def test_a_set_without_a_key_of_use_is_none(published: str) -> None:
    with pytest.raises(ValueError):
        parse_keys(published, TERMS.algorithms)


def test_a_private_key_that_was_published_by_mistake_is_not_kept() -> None:
    from jwt.algorithms import RSAAlgorithm

    leaked = json.loads(RSAAlgorithm.to_jwk(private_key("RSA"))) | {"kid": "one", "key_ops": ["sign", "verify"]}
    [key] = parse_keys(keys(leaked), ("RS256",))
    assert leaked["d"] not in key.text
    assert check(signed(), (key,), TERMS).user == "alice"


# Keys that change.


class World:
    def __init__(self, source: str = "https://login.example.com/keys") -> None:
        self.clock = Clock()
        self.published: str | Exception = keys(jwk("RSA", "one"))
        self.by_hand: Deferred[bytes] | None = None
        self.fetched = 0
        self.changes = 0
        self.proof = SignedTokenProof(
            source,
            TERMS,
            clock=self.clock,
            offload=inline,
            fetch=self.fetch,
            refresh_s=600.0,
            changed=self.changed,
        )

    def changed(self) -> None:
        self.changes += 1

    def fetch(self, url: str) -> Deferred[bytes]:
        assert url == "https://login.example.com/keys"
        self.fetched += 1
        if self.by_hand is not None:
            return self.by_hand
        if isinstance(self.published, Exception):
            raise self.published
        return succeed(self.published.encode())

    def start(self) -> World:
        result_of(Deferred.fromCoroutine(self.proof.start()))
        return self


def test_keys_are_fetched_at_the_start_and_again_and_again() -> None:
    world = World().start()
    who = result_of(world.proof.prove(signed()))
    assert (world.fetched, world.changes) == (1, 1)
    world.clock.advance(600)
    assert (world.fetched, world.changes) == (2, 1)
    world.published = keys(jwk("P-256", "two"))
    world.clock.advance(600)
    assert (world.fetched, world.changes) == (3, 2)
    assert not world.proof.still(who)
    with pytest.raises(NotProven):
        result_of(world.proof.prove(signed()))


def test_an_issuer_that_does_not_answer_holds_no_start_up_and_loses_no_keys() -> None:
    world = World()
    good, world.published = world.published, ConnectionError("down")
    world.start()
    with pytest.raises(CannotTell):
        result_of(world.proof.prove(signed()))
    world.published = good
    world.clock.advance(30)
    assert result_of(world.proof.prove(signed())).user == "alice"
    for wrong in (ConnectionError("down"), "nonsense"):
        world.published = wrong
        world.clock.advance(600)
        assert result_of(world.proof.prove(signed())).user == "alice"


def test_a_key_that_is_not_known_is_fetched_at_once_but_not_for_every_token() -> None:
    world = World().start()
    world.clock.advance(31)
    world.published = keys(jwk("RSA", "one"), jwk("P-256", "two"))
    assert result_of(world.proof.prove(signed("P-256", "two"))).user == "alice"
    assert world.fetched == 2
    for number in range(50):
        with pytest.raises(NotProven):
            result_of(world.proof.prove(signed(kid=f"x{number}")))
    assert world.fetched == 2
    world.published = keys(jwk("RSA", "x0"))
    world.clock.advance(30)  # what was asked for too soon is fetched by itself when it may be
    assert world.fetched == 3
    assert result_of(world.proof.prove(signed(kid="x0"))).user == "alice"


def test_all_who_wait_for_keys_share_one_fetch() -> None:
    world = World()
    world.by_hand = Deferred()
    world.start()
    waiting = [world.proof.prove(signed()) for _ in range(3)]
    assert all(unfired(one) for one in waiting)
    assert world.fetched == 1
    world.by_hand.callback(keys(jwk("RSA", "one")).encode())
    assert [result_of(one).user for one in waiting] == ["alice"] * 3


def test_a_stop_leaves_nothing_behind() -> None:
    world = World().start()
    with pytest.raises(NotProven):
        result_of(world.proof.prove(signed(kid="x")))
    result_of(world.proof.stop())
    assert world.clock.getDelayedCalls() == []
    waits = World()
    waits.by_hand = Deferred()
    waits.start()
    result_of(waits.proof.stop())


def test_keys_from_a_file_are_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(CannotRead, match="cannot be read"):
        World(str(path)).start()
    path.write_text("{}")
    with pytest.raises(CannotRead, match="is no set of keys"):
        World(str(path)).start()
    path.write_text(keys(jwk("RSA", "one")))
    world = World(str(path)).start()
    assert result_of(world.proof.prove(signed())).user == "alice"
    path.write_text(keys(jwk("P-256", "two")))
    world.clock.advance(2)
    assert world.changes == 1
    assert result_of(world.proof.prove(signed("P-256", "two"))).user == "alice"
    with pytest.raises(NotProven):
        result_of(world.proof.prove(signed()))
    assert world.fetched == 0
