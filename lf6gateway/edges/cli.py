"""The command ``lf6gateway``: what an operator runs beside the daemon. Owns its arguments and exit statuses (0 fine, 1
not, 2 wrong usage); the work itself is in the modules it calls."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from lf6gateway.disk.settings_file import load_settings
from lf6gateway.edges import token_command
from lf6gateway.edges.check import check_stores
from lf6gateway.edges.check_access import check_access
from lf6gateway.services.outlets import Outlets
from lf6gateway.services.threads import Threads
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_print import masked_yaml
from lf6gateway.values.settings_problem import SettingsError
from lf6gateway.version import __version__

DEFAULT_CONFIG = "/etc/lightfile6/config.yml"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lf6gateway",
        description="Beside the daemon, which is started by: twistd -n lf6gateway -p 8080 -c config.yml",
    )
    parser.add_argument("--version", action="version", version=f"lf6gateway {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="validate the configuration and try the credentials and each bucket",
        description="Validates the configuration, finds the credentials, writes, reads and removes a probe object in "
        "each bucket, and says what to mend. Status 0: all is well; 1: something is not.",
    )
    check.add_argument("-c", "--config", default=None, help=f"configuration file [default: {DEFAULT_CONFIG}]")
    check.add_argument(
        "--print", action="store_true", dest="show", help="print the settings in force, secrets masked, and stop there"
    )
    token_command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "token":
        _token(chosen)
        return
    settings = _settings(chosen.config)
    if chosen.show:
        sys.stdout.write(masked_yaml(settings))
        return
    print("ok      the configuration is valid", flush=True)
    task.react(lambda reactor: Deferred.fromCoroutine(_check(reactor, settings)))


def _settings(config: str | None) -> Settings:
    try:
        return load_settings(
            config, default=DEFAULT_CONFIG, environ=os.environ, cwd=os.getcwd(), hostname=socket.gethostname()
        )
    except SettingsError as error:
        raise SystemExit(str(error)) from error


def _token(chosen: argparse.Namespace) -> None:
    path, audit = chosen.file, None
    if path is None:
        settings = _settings(chosen.config)
        path, audit = settings.auth.tokens_file, settings.audit.file
        if path is None:
            raise SystemExit("the configuration names no auth.tokens_file; set it, or name the file with --file")
    try:
        token_command.run(chosen, os.path.abspath(path), partial(token_command.audited, audit))
    except token_command.Refusal as error:
        raise SystemExit(f"lf6gateway: {error}") from error


async def _check(reactor: Any, settings: Settings) -> None:
    threads = Threads(reactor, "check", 2)
    threads.startService()
    outlets = Outlets(settings, reactor=reactor, offload=threads, spool="check")
    try:
        fine = await check_access(settings, reactor, threads, lambda line: print(line, flush=True))
        fine &= await check_stores(
            {stream.value: store for stream, store in outlets.stores.items()},
            {stream.value: prefix for stream, prefix in outlets.prefixes.items()},
            lambda line: print(line, flush=True),
        )
    finally:
        await outlets.close()
        await threads.stopService()
    if not fine:
        raise SystemExit(1)
