"""``lf6gateway status``: how a running gateway fares, asked of its listener for operators. Owns the asking; what it
means is in ``values/status_text.py``; must never show a token, nor take one from the command line."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lf6gateway.edges.commands.refusal import DEFAULT_CONFIG, Commands, Refusal, add_config, settings_of
from lf6gateway.values.printable import printable
from lf6gateway.values.status_text import status_lines, troubles

if TYPE_CHECKING:
    from lf6gateway.values.settings import Settings

VARIABLE: Final = "LF6GATEWAY_ADMIN_TOKEN"
DEFAULT_URL: Final = "http://127.0.0.1:9606"
"""Where it listens if nothing says otherwise."""
TIMEOUT_S: Final = 10.0
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of an answer; what is longer is none of ours."""
_ANYWHERE: Final = "0.0.0.0"  # noqa: S104 - it is asked, not listened on
_CLEAR: Final = "\x1b[H\x1b[2J"
_UNLIKE: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes of reading an answer that is not shaped like ours."""


class Unreachable(Refusal):
    """Nobody answers now; somebody may in a while."""


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    status = commands.add_parser(
        "status",
        help="ask a running gateway how it fares",
        description="Asks the listener for operators (admin.listen) of a running gateway. Status 0: it takes data, and "
        "no alert is firing; 1: one of these is not so, or it cannot be asked. A token comes from --token-file, else "
        f"from {VARIABLE}, else from the configuration; where --url is given, only from one named by -c.",
    )
    status.add_argument(
        "--url",
        default=None,
        help=f"of the listener [default: the configuration's admin.listen; where there is none, {DEFAULT_URL}]",
    )
    status.add_argument("--token-file", default=None, help="file that holds the token")
    status.add_argument("--json", action="store_true", help="all that it says, as it says it")
    status.add_argument(
        "--watch", type=_seconds, nargs="?", const=2.0, default=None, metavar="SECONDS", help="ask again and again [2]"
    )
    add_config(status, "which says where it listens")
    status.set_defaults(run=run)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86_400:
        raise ValueError
    return seconds


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 0 where all is well.

    :raises Refusal: it cannot be asked; the text says why and what to do.
    """
    url, token = _where(chosen)
    if chosen.watch is None:
        shown, well = _look(chosen, url, token)
        print(shown, flush=True)
        return 0 if well else 1
    while True:  # until it is interrupted; a gateway that restarts is away for a while
        try:
            shown, _ = _look(chosen, url, token)
        except Unreachable as error:
            print(f"lf6gateway: {error}", file=sys.stderr, flush=True)
        else:
            redrawn = sys.stdout.isatty() and not chosen.json
            print(_CLEAR + shown if redrawn else shown, flush=True)
        time.sleep(chosen.watch)


def _look(chosen: argparse.Namespace, url: str, token: str | None) -> tuple[str, bool]:
    """What is to be shown now, and whether all is well."""
    text = ask(url, token)
    try:
        status: Any = json.loads(text)
        well = not troubles(status)
        if not chosen.json:
            return "\n".join(status_lines(status)), well
        # A terminal would obey what JSON may hold as it is, such as C1 controls.
        return json.dumps(status, indent=2) if sys.stdout.isatty() else text.decode().rstrip("\n"), well
    except _UNLIKE as error:
        raise Refusal(
            f"{printable(url)}: what answers there is no lf6gateway, or one of another version: {error!r}"
        ) from error


def _where(chosen: argparse.Namespace) -> tuple[str, str | None]:
    token = os.environ.get(VARIABLE) or None
    if chosen.token_file is not None:
        token = _read(chosen.token_file)
    if chosen.url is not None and (token is not None or chosen.config is None):
        return chosen.url, token
    try:
        settings = settings_of(chosen.config)
    except Refusal:
        told = chosen.config is not None or "LIGHTFILE6_ADMIN_LISTEN" in os.environ
        if told or os.path.lexists(DEFAULT_CONFIG):
            raise
        return DEFAULT_URL, token
    return chosen.url or _url_of(settings), token or _token_of(settings)


def _url_of(settings: Settings) -> str:
    address = settings.admin.address
    if address is None:
        raise Refusal("admin.listen is off, so that there is nothing to ask; name an address there and restart")
    host = {"": "127.0.0.1", _ANYWHERE: "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    return f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}"


def _token_of(settings: Settings) -> str | None:
    if settings.admin.token is not None:
        return str(settings.admin.token.get_secret_value())
    return None if settings.admin.token_file is None else _read(settings.admin.token_file)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}, which holds the token, cannot be read: {error}") from error


def ask(url: str, token: str | None) -> bytes:
    """The answer of ``/status``.

    :raises Unreachable: nobody answers.
    :raises Refusal: what answers says no, or it cannot be asked at all.
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it begins with http:// and names a host")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        client = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    except ValueError as error:
        raise Refusal(f"--url {printable(url)}: {error}") from error
    headers: dict[str, str | bytes] = {"Accept": "application/json"}
    if token is not None:
        if not token.isprintable():  # http.client would show it in its error
            raise Refusal(f"the token must be one line of characters that print; see --token-file or {VARIABLE}")
        headers["Authorization"] = f"Bearer {token}".encode()
    try:
        client.request("GET", parts.path.rstrip("/") + "/status", headers=headers)
        answer = client.getresponse()
        text = answer.read(LARGEST + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(
            f"{printable(url)} does not answer: {printable(str(error).strip() or type(error).__name__)}; "
            "is the gateway running, and admin.listen there? Name another one by --url"
        ) from error
    finally:
        client.close()
    if len(text) > LARGEST:
        raise Refusal(f"{printable(url)}: what answers there is no lf6gateway: it says more than {LARGEST} bytes")
    if answer.status == 401:
        raise Refusal(f"{printable(url)} asks for its token; put it into {VARIABLE}, or name its file by --token-file")
    if answer.status != 200:
        raise Refusal(f"{printable(url)} answered {answer.status} {printable(answer.reason)}")
    return text
