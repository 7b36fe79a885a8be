"""What every command shares: the configuration it reads, and the way it says no. Owns the words for a configuration
that cannot be used; must never print a traceback or a secret."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from lf6gateway.values.settings_problem import SettingsError

if TYPE_CHECKING:
    from lf6gateway.values.settings import Settings

DEFAULT_CONFIG = "/etc/lightfile6/config.yml"
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]
"""Does a command as the command line says; its exit status."""


class Refusal(Exception):
    """The command cannot be done; the text says why and what to do. The exit status is 1."""


def add_config(parser: argparse.ArgumentParser, note: str = "") -> None:
    """Let a command be told which configuration file counts.

    :param note: what it takes from there.
    """
    parser.add_argument(
        "-c", "--config", default=None, help=f"configuration file{note and ', ' + note} [default: {DEFAULT_CONFIG}]"
    )


def settings_of(config: str | None) -> Settings:
    """The settings in force, those of the environment included.

    :raises Refusal: they cannot be used; every problem is in the text.
    """
    # Not before it is needed: completing a word, and looking at a spool, do without.
    from lf6gateway.disk.settings_file import load_settings

    try:
        return load_settings(
            config, default=DEFAULT_CONFIG, environ=os.environ, cwd=os.getcwd(), hostname=socket.gethostname()
        )
    except SettingsError as error:
        raise Refusal(str(error)) from error
