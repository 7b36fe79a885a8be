"""``lf6gateway serve``: ``twistd -n lf6gateway``, without twistd's search for plugins, which writes what it found
beside the installed packages. Owns the options that are handed on; must never do anything that twistd does not do."""

from __future__ import annotations

import argparse

from lf6gateway.edges.commands.refusal import DEFAULT_CONFIG, Commands, Refusal


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    serve = commands.add_parser(
        "serve",
        help="run the gateway in the foreground",
        usage="lf6gateway serve [-h] [-p PORT] [-c CONFIG] [-- OPTION ...]",
        description="Runs the gateway in the foreground, as twistd -n lf6gateway does, from any folder and without a "
        "pidfile. SIGTERM and SIGINT stop it and deliver what it holds, SIGHUP reads the configuration again. Status "
        "0: stopped; 1: it could not start, and said why.",
        epilog="What stands behind -- goes to twistd, such as -- --logfile=/var/log/lf6gateway.log; to run it as a "
        "daemon of the old kind, call twistd itself.",
    )
    serve.add_argument(
        "-p", "--port", default=None, help="TCP port of all interfaces; 0: a free one [default: 8080, or http.listen]"
    )
    serve.add_argument("-c", "--config", default=None, help=f"configuration file [default: {DEFAULT_CONFIG}]")
    serve.add_argument("options", nargs="*", metavar="OPTION", help="for twistd")
    serve.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Run until it is stopped. twistd ends the process itself where it does not stop cleanly.

    :raises Refusal: twistd does not know what stands behind ``--``.
    :raises SystemExit: a mistake in the configuration, or a failed start.
    """
    from twisted.application.service import ServiceMaker
    from twisted.python.usage import UsageError
    from twisted.scripts._twistd_unix import ServerOptions  # what twistd.py hands on, for the checker's sake
    from twisted.scripts.twistd import runApp

    from twisted.plugins import lf6gateway_plugin

    maker: ServiceMaker = lf6gateway_plugin.lf6gateway

    class Options(ServerOptions):
        """twistd's own, which knows one program."""

        _getPlugins = staticmethod(lambda interface, package=None: [maker])  # type: ignore[assignment]

    arguments = ["-n", "--pidfile=", *chosen.options, maker.tapname]
    for flag, value in (("-p", chosen.port), ("-c", chosen.config)):
        if value is not None:
            arguments += [flag, value]
    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        raise Refusal(f"{error}; behind -- stand options of twistd, which twistd --help lists") from error
    runApp(options)
    return 0
