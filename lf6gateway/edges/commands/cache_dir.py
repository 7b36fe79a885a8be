"""Which cache directory a command is about. Owns the question and its refusals; must never make a folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lf6gateway.edges.commands.refusal import DEFAULT_CONFIG, Refusal, settings_of
from lf6gateway.values.settings_problem import shown

_PARTS = ("spool.json", "spool", "quarantine", "usage", "error", "specimen")
"""What shows that a folder is one: the gateway's own parts, and those of the Go original."""


def add_spool(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which cache directory it is about."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--spool", metavar="DIR", default=None, help="the cache directory to look at")
    which.add_argument(
        "-c", "--config", default=None, help=f"or the configuration whose cache_dir it is [default: {DEFAULT_CONFIG}]"
    )


def chosen_cache_dir(chosen: argparse.Namespace) -> str:
    """The cache directory that the command line names.

    :raises Refusal: it is none.
    """
    if chosen.spool is not None:
        return cache_dir_at(chosen.spool)
    return cache_dir_at(settings_of(chosen.config).cache_dir)


def cache_dir_at(path: str) -> str:
    """The absolute path of a cache directory.

    :raises Refusal: there is none.
    """
    whole = os.path.abspath(path)
    with reading(whole):
        if not os.path.lexists(whole):
            raise Refusal(
                f"{shown(path)} is not there; name a cache directory with --spool, or its configuration with -c"
            )
        if not os.path.isdir(whole):
            raise Refusal(f"{shown(path)} is no folder; name the cache directory that holds spool.json")
        names = set(os.listdir(whole))
    if names.isdisjoint(_PARTS):
        raise Refusal(f"{shown(path)} is no cache directory: it holds none of {', '.join(_PARTS[:3])}")
    if "spool.json" not in names and os.path.basename(whole) == "spool":
        parent = os.path.dirname(whole)
        if os.path.lexists(os.path.join(parent, "spool.json")):
            raise Refusal(f"{shown(path)} is the inner folder; name the cache directory itself, {shown(parent)}")
    return whole


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn errors of the disk into one line with a remedy."""
    try:
        yield
    except PermissionError as error:
        raise Refusal(
            f"{error.filename or path}: this user may not; run it as the gateway's user, or as root"
        ) from error
    except OSError as error:
        raise Refusal(f"{error.filename or path}: {error.strerror or error}") from error
