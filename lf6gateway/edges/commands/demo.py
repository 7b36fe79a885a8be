"""``lf6gateway demo``: the whole way once, on a folder. Owns where that folder is and whether it stays; what happens
there is in ``edges/demonstration.py``; must never write into a folder that holds anything."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.values.settings_problem import shown


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    demo = commands.add_parser(
        "demo",
        help="run it once on a folder with real reports and a specimen",
        description="Starts the gateway on a folder in place of S3, sends reports and a specimen as real clients do, "
        "stops it, and shows the objects that came of it. Needs no configuration and no network but loopback. Status "
        "0: what is stored is what was sent; 1: it is not.",
    )
    demo.add_argument("--keep", metavar="DIR", default=None, help="do it in this new folder, and leave all there")
    demo.add_argument("--json", action="store_true", help="one JSON object, and nothing else")
    demo.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do it; 0 when all went well.

    :raises Refusal: the folder will not do, or the gateway did not start or stop.
    """
    from lf6gateway.edges.demonstration import DemoFailed, Demonstration

    folder = _new_folder(chosen.keep)
    demonstration = Demonstration(folder, (lambda _: None) if chosen.json else _say)
    fine = False
    try:
        fine = demonstration.run()
    except DemoFailed as error:
        chosen.keep = chosen.keep or str(folder)  # the log tells why
        raise Refusal(str(error)) from error
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if chosen.json:
        where = None if chosen.keep is None else str(folder)
        print(json.dumps({"stored": demonstration.stored, "fine": fine, "folder": where}))
    elif fine:
        print(
            "\nall there, once, in order." + (f" Look around in {folder}" if chosen.keep else " --keep DIR keeps it.")
        )
    return 0 if fine else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _new_folder(name: str | None) -> Path:
    if name is None:
        return Path(tempfile.mkdtemp(prefix="lf6gateway-demo-"))
    folder = Path(name).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise Refusal(f"{shown(name)}: {error.strerror}; name another folder with --keep") from error
    if not empty:
        raise Refusal(f"{shown(name)} is not empty; name a new folder with --keep")
    return folder
