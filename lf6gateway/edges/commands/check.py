"""``lf6gateway check``: whether the configuration, the credentials and each bucket will do. Owns its arguments; the
trying itself is in ``edges/check.py`` and ``edges/check_access.py``; must never leave a probe object behind."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from lf6gateway.edges.commands.refusal import Commands, add_config, settings_of

if TYPE_CHECKING:
    from lf6gateway.values.settings import Settings


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    check = commands.add_parser(
        "check",
        help="validate the configuration and try the credentials and each bucket",
        description="Validates the configuration, finds the credentials, writes, reads and removes a probe object in "
        "each bucket, and says what to mend. Status 0: all is well; 1: something is not.",
    )
    add_config(check)
    check.add_argument(
        "--print", action="store_true", dest="show", help="print the settings in force, secrets masked, and stop there"
    )
    check.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 0 when all is well."""
    from lf6gateway.edges.commands.reacting import in_reactor
    from lf6gateway.values.settings_print import masked_yaml

    settings = settings_of(chosen.config)
    if chosen.show:
        sys.stdout.write(masked_yaml(settings))
        return 0
    print("ok      the configuration is valid", flush=True)
    return 0 if in_reactor(lambda reactor: _check(reactor, settings)) else 1


async def _check(reactor: Any, settings: Settings) -> bool:
    from lf6gateway.edges.check import check_stores
    from lf6gateway.edges.check_access import check_access
    from lf6gateway.services.outlets import Outlets
    from lf6gateway.services.threads import Threads

    threads = Threads(reactor, "check", 2)
    threads.startService()
    outlets = Outlets(settings, reactor=reactor, offload=threads, spool="check")
    try:
        fine = await check_access(settings, reactor, threads, lambda line: print(line, flush=True))
        return fine & await check_stores(
            {stream.value: store for stream, store in outlets.stores.items()},
            {stream.value: prefix for stream, prefix in outlets.prefixes.items()},
            lambda line: print(line, flush=True),
        )
    finally:
        await outlets.close()
        await threads.stopService()
