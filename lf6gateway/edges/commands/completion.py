"""``lf6gateway completion``: what makes a shell complete the command's words, by argcomplete. Owns which shells are
known; the words are the parser's own."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from lf6gateway.edges.commands.refusal import Commands

SHELLS: Final = ("bash", "zsh", "fish")


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    completion = commands.add_parser(
        "completion",
        help="print what makes a shell complete this command",
        description="Prints the lines that make a shell complete commands, options and names. Status 0. For bash: "
        'eval "$(lf6gateway completion bash)" in ~/.bashrc; for zsh the same with zsh, behind compinit, in ~/.zshrc; '
        "for fish: lf6gateway completion fish > ~/.config/fish/completions/lf6gateway.fish",
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Print it."""
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["lf6gateway"], shell=chosen.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Where a shell asks for words, answer and end the process."""
    import argcomplete

    argcomplete.autocomplete(parser)
