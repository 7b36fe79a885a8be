"""``lf6gateway token``: makes, lists and withdraws tokens. Owns what is asked and what is shown, a token exactly once;
must never write the tokens file but through ``disk/tokens_file.py``."""

from __future__ import annotations

import argparse
import os
import pwd
import re
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from lf6gateway.disk.audit_file import AuditFile
from lf6gateway.disk.tokens_file import edit_tokens, read_tokens
from lf6gateway.edges.commands.refusal import Commands, Refusal, settings_of
from lf6gateway.values.audit_entry import audit_line
from lf6gateway.values.duration import parse_duration
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.stream import Stream
from lf6gateway.values.token import ID_BYTES, SALT_BYTES, SECRET_BYTES, hash_token, id_of, make_token
from lf6gateway.values.token_file import (
    EVERY_STREAM,
    BadTokenFile,
    Token,
    edited,
    format_moment,
    parse_streams,
    parse_tokens,
)
from lf6gateway.values.username import BadUsername, check_username

Told = Callable[[str, Token], None]
"""Takes each change: what was done, and to which token."""
_DAYS: Final = re.compile(r"([0-9]{1,5})d")


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    token = commands.add_parser(
        "token",
        help="make, list and withdraw the tokens of auth.mode tokens",
        description="Edits auth.tokens_file; a running gateway takes the change over within seconds. A token is "
        "printed once, when it is made: only a hash of it is kept.",
    )
    which = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("-c", "--config", default=None, help="configuration file, whose auth.tokens_file counts")
    where.add_argument("--file", default=None, help="the tokens file itself, in place of the configuration's")
    add = which.add_parser("add", parents=[where], help="make a token for a user, and print it")
    add.add_argument("user")
    rotate = which.add_parser("rotate", parents=[where], help="make a token in place of another one, and print it")
    rotate.add_argument("id", help="the id of the old token, as list shows it")
    rotate.add_argument(
        "--keep", default=None, metavar="SPAN", help="how long the old token goes on, such as 24h [default: not at all]"
    )
    for one in (add, rotate):
        one.add_argument("--expires", default=None, metavar="WHEN", help="90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z")
    add.add_argument(
        "--streams", default=None, help=f"what may be sent, some of {','.join(Stream)} [default: everything]"
    )
    listing = which.add_parser("list", parents=[where], help="show what is known of the tokens")
    listing.add_argument("user", nargs="?", default=None)
    revoke = which.add_parser("revoke", parents=[where], help="withdraw tokens")
    revoke.add_argument("id", nargs="*", help="their ids, as list shows them")
    revoke.add_argument("--user", default=None, help="all tokens of this user")
    token.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says.

    :raises Refusal: it cannot be done; then the file is as it was.
    """
    path, audit = chosen.file, None
    if path is None:
        settings = settings_of(chosen.config)
        path, audit = settings.auth.tokens_file, settings.audit.file
        if path is None:
            raise Refusal("the configuration names no auth.tokens_file; set it, or name the file with --file")
    _run(chosen, os.path.abspath(path), partial(audited, audit))
    return 0


def _run(chosen: argparse.Namespace, path: str, told: Told) -> None:
    actions = {"add": _add, "rotate": _rotate, "list": _list, "revoke": _revoke}
    try:
        actions[chosen.action](chosen, path, told)
    except BadTokenFile as error:
        raise Refusal(str(error)) from error
    except OSError as error:
        raise Refusal(f"{error.filename or path}: {error.strerror}") from error
    except ValueError as error:
        raise Refusal(f"{path} {error}") from error


def _add(chosen: argparse.Namespace, path: str, told: Told) -> None:
    try:
        check_username(chosen.user)
    except BadUsername as error:
        raise Refusal(str(error)) from error
    try:
        streams = EVERY_STREAM if chosen.streams is None else parse_streams(chosen.streams)
    except ValueError as error:
        raise Refusal(f"--{error}".replace("=", "", 1)) from error
    expires = None if chosen.expires is None else moment(chosen.expires, int(time.time()))
    text, token = _new(chosen.user, expires, streams)

    def edit(before: str) -> str:
        parse_tokens(before, path)
        return edited(before, added=[token])

    edit_tokens(path, edit)
    told("add", token)
    _show(text, token)


def _rotate(chosen: argparse.Namespace, path: str, told: Told) -> None:
    now = int(time.time())
    expires = None if chosen.expires is None else moment(chosen.expires, now)
    until = None if chosen.keep is None else moment(chosen.keep, now)
    made: list[tuple[str, Token, Token]] = []

    def edit(before: str) -> str:
        tokens = parse_tokens(before, path)
        old = tokens.get(chosen.id)
        if old is None:
            raise Refusal(_no_such(chosen.id, path))
        text, token = _new(old.user, old.expires_s if expires is None else expires, old.streams)
        if token.expires_s is not None and token.expires_s <= now:
            raise Refusal(f"{old.id} has expired, and so would the new one; say until when with --expires")
        made.append((text, token, old))
        added = [token]
        if until is not None:
            added.insert(0, replace(old, expires_s=until if old.expires_s is None else min(until, old.expires_s)))
        return edited(before, added=added, removed=[old.id])

    edit_tokens(path, edit)
    [(text, token, old)] = made
    told("rotate", old)
    told("add", token)
    _show(text, token)


def _list(chosen: argparse.Namespace, path: str, told: Told) -> None:
    now = time.time()
    rows = [("ID", "USER", "CREATED", "EXPIRES", "STREAMS")]
    for token in parse_tokens(read_tokens(path), path).values():
        if chosen.user is not None and token.user != chosen.user:
            continue
        expires = "never" if token.expires_s is None else format_moment(token.expires_s)
        if token.expires_s is not None and token.expires_s <= now:
            expires += " (expired)"
        created = "" if token.created_s is None else format_moment(token.created_s)
        streams = "all" if token.streams == EVERY_STREAM else ",".join(sorted(token.streams))
        rows.append((token.id, shown(token.user), created, expires, streams))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _revoke(chosen: argparse.Namespace, path: str, told: Told) -> None:
    if not chosen.id and chosen.user is None:
        raise Refusal("say which: the id of a token, or --user NAME for all of a user's")
    gone: list[Token] = []

    def edit(before: str) -> str:
        tokens = parse_tokens(before, path)
        for one in chosen.id:
            if one not in tokens:
                raise Refusal(_no_such(one, path))
        gone.extend(token for token in tokens.values() if token.id in chosen.id or token.user == chosen.user)
        if not gone:
            raise Refusal(f"{path}: no token is {shown(chosen.user)}'s; lf6gateway token list shows them all")
        return edited(before, removed=[token.id for token in gone])

    edit_tokens(path, edit)
    for token in gone:
        told("revoke", token)
        print(f"{token.id} of {shown(token.user)} is withdrawn", file=sys.stderr)


def audited(path: str | None, action: str, token: Token) -> None:
    """Put a change into the audit trail, if there is one; a trail that cannot be written undoes nothing."""
    if path is None:
        return
    entry = {
        "action": action,
        "user": token.user,
        "id": token.id,
        "expires": None if token.expires_s is None else format_moment(token.expires_s),
        "streams": None if token.streams == EVERY_STREAM else sorted(token.streams),
        "operator": os.environ.get("SUDO_USER") or _login(),
    }
    file = AuditFile(path)
    try:
        file.append(audit_line("token", time.time_ns(), entry))
    except OSError as error:
        print(f"the change is made, but {path} could not be written: {error.strerror}", file=sys.stderr)
    finally:
        file.close()


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _new(user: str, expires_s: int | None, streams: frozenset[Stream]) -> tuple[str, Token]:
    text = make_token(secrets.token_bytes(ID_BYTES), secrets.token_bytes(SECRET_BYTES))
    identity = id_of(text.encode("ascii"))
    assert identity is not None
    hashed = hash_token(text, secrets.token_bytes(SALT_BYTES))
    return text, Token(user, hashed, identity, int(time.time()), expires_s, streams)


def _show(text: str, token: Token) -> None:
    until = "" if token.expires_s is None else f", until {format_moment(token.expires_s)}"
    print(f"token {token.id} of {shown(token.user)}{until}; it is shown this once:", file=sys.stderr, flush=True)
    print(text)


def _no_such(identity: str, path: str) -> str:
    if "_" in identity:
        return "an id is the part between lf6_ and the next _; a whole token has no place on a command line"
    return f"{path}: no token has the id {shown(identity)}; lf6gateway token list shows them all"


def moment(text: str, now_s: int) -> int:
    """A moment in the future, given as a span from now or as a date of UTC.

    :raises Refusal: it is neither, or past.
    """
    days = _DAYS.fullmatch(text)
    when: int | None = None
    if days:
        when = now_s + int(days[1]) * 86_400
    else:
        for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"):
            try:
                when = int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
            except ValueError:
                continue
    if when is None:
        try:
            when = now_s + int(parse_duration(text).seconds)
        except ValueError:
            raise Refusal(
                f"{shown(text)} is no moment; write it like 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z"
            ) from None
    if when <= now_s:
        raise Refusal(f"{shown(text)} is not in the future")
    if when >= 253_402_300_800:
        raise Refusal(f"{shown(text)} is too far away; leave --expires out for a token that does not expire")
    return when
