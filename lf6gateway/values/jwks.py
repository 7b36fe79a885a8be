"""An issuer's public keys (JWKS, RFC 7517), and which of them may have signed a token. Owns that choice, so that no
token chooses its own way of being checked; must never check a signature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jwt import PyJWK, PyJWKError
from jwt.exceptions import InvalidKeyError

LARGEST: Final = 1 << 20
"""Bytes; what is larger is no set of keys."""
LEAST_RSA_BITS: Final = 2048

_KINDS: Final = {"R": "RSA", "P": "RSA", "E": "EC"}
_CURVES: Final = {"ES256": ("P-256",), "ES384": ("P-384",), "ES512": ("P-521",), "EdDSA": ("Ed25519", "Ed448")}


@dataclass(frozen=True, slots=True)
class Key:
    """One public key, for one algorithm.

    ``text`` is the key as it was published, so that another key of the same name shows as a change.
    """

    id: str | None
    algorithm: str
    text: str = field(repr=False)
    public: PyJWK = field(repr=False, compare=False)


def parse_keys(text: str | bytes, algorithms: Iterable[str]) -> tuple[Key, ...]:
    """The keys of a set that can check signatures of the given algorithms; those for other ends are left out, and so is
    every shared secret.

    :raises ValueError: it is no set of keys, or none of them is of use.
    """
    try:
        published = json.loads(text)
        listed = published["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError('is no set of keys; one looks like {"keys": [{"kty": "RSA", ...}]}') from None
    if not isinstance(listed, list):
        raise ValueError("has keys that are no list")
    allowed = tuple(algorithms)
    keys = tuple(key for one in listed if isinstance(one, dict) for key in _of_use(one, allowed))
    if not keys:
        raise ValueError(f"holds no public key for {', '.join(allowed)}; see auth.jwt_algorithms")
    return keys


def _of_use(jwk: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterable[Key]:
    ends = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(ends, list) or "verify" not in ends:
        return
    identity = jwk.get("kid")
    for algorithm in allowed:
        if not _fits(jwk, algorithm):
            continue
        public = {name: value for name, value in jwk.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
        try:
            made = PyJWK(public, algorithm)
        except (PyJWKError, InvalidKeyError, ValueError, TypeError, KeyError):
            continue
        if jwk["kty"] == "RSA" and made.key.key_size < LEAST_RSA_BITS:
            continue
        yield Key(identity if isinstance(identity, str) else None, algorithm, json.dumps(public, sort_keys=True), made)


def _fits(jwk: Mapping[str, Any], algorithm: str) -> bool:
    if jwk.get("alg", algorithm) != algorithm:
        return False
    if algorithm == "EdDSA":
        return jwk.get("kty") == "OKP" and jwk.get("crv") in _CURVES[algorithm]
    if jwk.get("kty") != _KINDS[algorithm[0]]:
        return False
    return algorithm[0] != "E" or jwk.get("crv") in _CURVES[algorithm]


def choose(keys: Iterable[Key], algorithm: object, identity: object) -> Key | None:
    """The key that a token's head names: of that id and for that algorithm. A token without an id can be meant for the
    only key of its algorithm alone."""
    fitting = [key for key in keys if key.algorithm == algorithm and (identity is None or key.id == identity)]
    return fitting[0] if len(fitting) == 1 or (fitting and identity is not None) else None
