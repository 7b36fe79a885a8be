"""The command ``lf6gateway``: what an operator runs beside the daemon. Owns its exit statuses (0 fine, 1 not, 2 wrong
usage) and the list of its commands; must never do the work of one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from lf6gateway.edges.commands import (
    cat,
    check,
    completion,
    demo,
    ls,
    report,
    send,
    serve,
    ship,
    spool,
    status,
    tail,
    token,
    verify,
)
from lf6gateway.edges.commands.intermixed import Intermixed
from lf6gateway.edges.commands.refusal import Refusal
from lf6gateway.version import __version__

COMMANDS: Final = (serve, check, demo, send, token, ls, cat, tail, verify, report, status, spool, ship, completion)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = argparse.ArgumentParser(
        prog="lf6gateway",
        description="Takes usage reports, error reports and specimens over HTTP and delivers them to S3, each exactly "
        "once. Status of every command: 0 fine, 1 not, 2 wrong usage; its --help tells more.",
    )
    whole.add_argument("--version", action="version", version=f"lf6gateway {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Intermixed)
    for command in COMMANDS:
        command.add_parser(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    whole = parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for words
        completion.complete(whole)
    chosen = whole.parse_args(arguments)
    try:
        status = chosen.run(chosen)
    except Refusal as error:
        raise SystemExit(f"lf6gateway: {error}") from error
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stderr.close()
        status = 0
    except KeyboardInterrupt:
        status = 130
    if status:
        raise SystemExit(status)
