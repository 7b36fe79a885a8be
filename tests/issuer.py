"""An issuer of signed tokens, with keys of its own."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ISSUER = "https://login.example.com/"
AUDIENCE = "insights"


def private_key(kind: str, number: int = 0) -> Any:
    """A key that stays the same for a whole run of the tests: making one takes time."""
    return _private_key(kind, number)


@lru_cache
def _private_key(kind: str, number: int) -> Any:
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "RSA-1024":
            return rsa.generate_private_key(65537, 1024)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[kind])


ALGORITHM = {"RSA": "RS256", "RSA-1024": "RS256", "Ed25519": "EdDSA", "P-256": "ES256", "P-384": "ES384"}


def jwk(kind: str, kid: str | None, number: int = 0, **more: Any) -> dict[str, Any]:
    """The public key, as it is published."""
    algorithm = get_default_algorithms()[ALGORITHM[kind]]
    found: dict[str, Any] = json.loads(algorithm.to_jwk(private_key(kind, number).public_key()))
    return found | ({} if kid is None else {"kid": kid}) | more


def keys(*published: dict[str, Any]) -> str:
    return json.dumps({"keys": published})


def signed(
    kind: str = "RSA", kid: str | None = "one", number: int = 0, alg: str | None = None, head: Any = None, **claims: Any
) -> bytes:
    """A token; a claim of ``None`` is left out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 86_400, "iat": now} | claims
    said = {name: value for name, value in said.items() if value is not None}
    headers = (head or {}) | ({} if kid is None else {"kid": kid})
    return jwt.encode(said, private_key(kind, number), alg or ALGORITHM[kind], headers=headers).encode()
