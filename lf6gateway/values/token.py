"""The tokens that the gateway gives out: a public id, by which its line in the tokens file is found, and a secret that
is kept only as a hash. Owns their form and their hashing; must never draw a random number, nor keep a secret."""

from __future__ import annotations

import base64
import re
from typing import Final

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

PREFIX: Final = "lf6_"
"""What each token begins with, so that scanners of source code can find one that leaked."""
ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
SALT_BYTES: Final = 16
MOST_MEMORY: Final = 1 << 20
"""KiB that the check of one hash may take; a line that asks for more is a mistake."""

_FORM: Final = re.compile(rb"lf6_([a-z2-7]{13})_[A-Za-z0-9_-]{43}")
_ID: Final = re.compile(r"[a-z2-7]{13}")
# A secret of 256 random bits cannot be guessed, however fast a guess is; so the hash need not be slow, and a restart
# under load costs some milliseconds a user. The parameters stand in each hash, and another hash may have others.
_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1, hash_len=32, salt_len=SALT_BYTES)


def make_token(random_id: bytes, random_secret: bytes) -> str:
    """A token from random bytes, ``ID_BYTES`` and ``SECRET_BYTES`` of them."""
    assert (len(random_id), len(random_secret)) == (ID_BYTES, SECRET_BYTES)
    identity = base64.b32encode(random_id).decode("ascii").rstrip("=").lower()
    secret = base64.urlsafe_b64encode(random_secret).decode("ascii").rstrip("=")
    return f"{PREFIX}{identity}_{secret}"


def id_of(token: bytes) -> str | None:
    """The public id of a token; ``None``: this is no token of ours."""
    found = _FORM.fullmatch(token)
    return None if found is None else found[1].decode("ascii")


def is_id(text: str) -> bool:
    """Whether a text has the form of a token's id."""
    return _ID.fullmatch(text) is not None


def hash_token(token: str, salt: bytes) -> str:
    """What is kept of a token. Takes some milliseconds."""
    return _HASHER.hash(token, salt=salt)


def matches(hashed: str, token: bytes) -> bool:
    """Whether a token is the one that was hashed, compared in constant time. Takes some milliseconds."""
    try:
        return _HASHER.verify(hashed, token)
    except (VerificationError, InvalidHashError):
        return False


def check_hash(text: str) -> None:
    """Pass a hash that can be checked.

    :raises ValueError: it is none; the message does not repeat it.
    """
    try:
        found = extract_parameters(text)
    except InvalidHashError:
        raise ValueError("is no Argon2 hash; lf6gateway token add writes such lines") from None
    if found.memory_cost > MOST_MEMORY or found.time_cost > 100 or found.parallelism > 16:
        raise ValueError(
            "is a hash that would take too long to check; make the token anew with lf6gateway token rotate"
        )
