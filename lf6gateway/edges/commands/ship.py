"""``lf6gateway ship``: delivers what lies in a spool, without a daemon. Owns which machine's spool it is and what is
told of it; the shipping is a gateway's own (``services/emptying.py``); must never ship under a hostname that was
guessed."""

from __future__ import annotations

import argparse
import sys

from lf6gateway.disk.lock import in_use
from lf6gateway.edges.commands.cache_dir import cache_dir_at, reading
from lf6gateway.edges.commands.refusal import Commands, Refusal, add_config, settings_of
from lf6gateway.edges.commands.spool import identity_of
from lf6gateway.values.duration import parse_duration
from lf6gateway.values.settings_problem import shown


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    ship = commands.add_parser(
        "ship",
        help="deliver what lies in a spool, such as one rescued from a dead machine",
        description="Ships everything in a cache directory to where the configuration says, each record exactly once, "
        "whatever its own machine had shipped before, and also when this is killed and run again. No gateway may run "
        "on it. Status 0: everything is delivered; 1: something is left or in quarantine, or it cannot be done.",
    )
    ship.add_argument("--spool", metavar="DIR", required=True, help="the cache directory, such as /mnt/rescued")
    add_config(ship, "which says where objects go")
    ship.add_argument(
        "--host",
        type=_host,
        default=None,
        help="the hostname in the keys of its objects [default: the one its last gateway noted in spool.json]",
    )
    ship.add_argument(
        "--deadline", type=_span, default=None, metavar="SPAN", help="give up after 10m, say [default: never]"
    )
    ship.add_argument("--json", action="store_true", help="one JSON object a line: each write, and last the summary")
    ship.add_argument("-v", "--verbose", action="store_true", help="the whole log on standard error")
    ship.set_defaults(run=run)


def _host(text: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from lf6gateway.values.settings_fields import Hostname

    try:
        return TypeAdapter[str](Hostname).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no host name") from error


def _span(text: str) -> float:
    try:
        return parse_duration(text).seconds
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shown(text)} {error}") from error


def run(chosen: argparse.Namespace) -> int:
    """Ship it; 0 when nothing is left.

    :raises Refusal: it cannot be begun.
    """
    from lf6gateway.edges.commands.reacting import in_reactor
    from lf6gateway.edges.commands.shipping import Shipping
    from lf6gateway.services.emptying import for_emptying

    cache_dir = cache_dir_at(chosen.spool)
    settings = settings_of(chosen.config)
    with reading(cache_dir):
        owned = in_use(cache_dir)
        if owned is not None:
            raise Refusal(f"{owned}; a gateway that runs ships its spool itself")
        settings = for_emptying(settings, cache_dir=cache_dir, host=_host_of(chosen.host, cache_dir))
        shipping = Shipping(chosen, settings)
        in_reactor(shipping.ship)
        return shipping.tell()


def _host_of(told: str | None, cache_dir: str) -> str:
    identity = identity_of(cache_dir)
    noted = identity.host if identity is not None else ""
    if told is None and not noted:
        raise Refusal(
            f"{shown(cache_dir)} does not say which machine's it is (its gateway was older, or never started); name "
            "the hostname that its objects' keys have with --host NAME: under another one, records of an hour that was "
            "shipped in part would arrive twice"
        )
    if told is not None and noted and told != noted:
        print(
            f"lf6gateway: the spool is {noted}'s; hours that it began go under that name, all others under {told}",
            file=sys.stderr,
        )
    return told or noted
