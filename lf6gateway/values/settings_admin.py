"""The keys of the listener for operators. Owns this section, its defaults and the form of its values; must never read a
file or the environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, SecretStr

from lf6gateway.values.networks import is_loopback
from lf6gateway.values.settings_fields import AbsolutePath
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.settings_section import Section

OFF: Final = "off"
_HOST: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?"
_RIGHT: Final = "write one like 127.0.0.1:9606, [::1]:9606 or localhost:9606, or off for no such listener"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a TCP port is listened on; 0: a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or (_numeric(self.host) and is_loopback(self.host))


def address_of(text: str) -> Address | None:
    """What ``admin.listen`` says; ``None``: nothing is listened on.

    :raises ValueError: it says neither.
    """
    if text in ("", OFF):
        return None
    found = re.fullmatch(rf"(?:(?P<name>{_HOST})|\[(?P<six>[0-9A-Fa-f:.]+)\]):(?P<port>[0-9]{{1,5}})", text)
    if found is None or int(found["port"]) > 65535:
        hint = f"write 127.0.0.1:{text.lstrip(':')}" if re.fullmatch(r":?[0-9]{1,5}", text) else _RIGHT
        raise ValueError(f"{shown(text)} is no address to listen on; {hint}")
    host = found["name"] or found["six"]
    if found["six"] and not _numeric(host):
        raise ValueError(f"{shown(text)} is no address to listen on; {_RIGHT}")
    return Address(host, int(found["port"]))


def _numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _listen(value: Any) -> Any:
    if isinstance(value, str):
        return OFF if address_of(value) is None else value
    return value


def _names(value: Any) -> Any:
    texts = tuple(value.split()) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else value
    for text in texts if isinstance(texts, tuple) else ():
        if not re.fullmatch(_HOST, text):
            raise ValueError(f"{shown(text)} is no host name; write it without a scheme and a port")
    return texts


def check_token(text: str) -> str:
    """A token as it is configured.

    :raises ValueError: it is none.
    """
    if not re.fullmatch(r"[\x21-\x7e]{16,1024}", text):
        raise ValueError("is no token of 16 characters at least, without blanks; make one with: openssl rand -hex 24")
    return text


Token = Annotated[
    SecretStr, BeforeValidator(lambda value: SecretStr(check_token(value)) if isinstance(value, str) else value)
]
"""A token that no print-out shows."""


Listening = Annotated[str, BeforeValidator(_listen)]
"""Address and port, or ``off``."""

Hosts = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Host names; as one text they are separated by blanks."""


class Admin(Section):
    """The listener for operators: figures, states, pages."""

    listen: Listening = "127.0.0.1:9606"
    """Address and port, or ``off``."""
    token: Token | None = None
    """What a request must carry as ``Authorization: Bearer``; needed where other machines reach the port."""
    token_file: AbsolutePath | None = None
    """A file that holds this token, in place of ``token``."""
    hosts: Hosts = ()
    """Names under which the listener is asked, besides addresses, ``localhost`` and the name it listens on."""

    links: bool = False
    """Whether the page links to the objects that were shipped last, by URLs signed with the gateway's keys."""

    @property
    def address(self) -> Address | None:
        """Where it listens."""
        return address_of(self.listen)

    @property
    def named(self) -> bool:
        """Whether somebody has said where it listens."""
        return "listen" in self.model_fields_set
