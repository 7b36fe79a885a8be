"""The configuration file as it lies on disk. Owns reading it and what can go wrong there; must never
understand a key."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_problem import Place, Problem, SettingsError

DEFAULT_CONFIG: Final = "/etc/lightfile6/config.yml"
"""Where the configuration is looked for if no file is named."""

LARGEST_FILE: Final = 1 << 20
"""Bytes; what is larger is no configuration."""


def load_settings(
    path: str | None = None,
    *,
    default: str = DEFAULT_CONFIG,
    environ: Mapping[str, str] | None = None,
    cwd: str | None = None,
    hostname: str | None = None,
) -> Settings:
    """Read the configuration. Blocks; meant for the start of a program.

    :param path: the file; without one ``default`` is read, and may be missing if the environment says what is needed.
    :param environ: the environment, the process's own if left out; ``cwd`` and ``hostname`` likewise.
    :raises SettingsError: the file cannot be read, or something in it or in the environment is wrong.
    """
    environ = os.environ if environ is None else environ
    cwd = os.getcwd() if cwd is None else cwd
    hostname = socket.gethostname() if hostname is None else hostname
    name = default if path is None else path
    try:
        text = _read(os.path.join(cwd, name))
    except FileNotFoundError:
        missing = Problem(Place(name), "", "there is no such file; name the configuration file with -c")
        if path is not None:
            raise SettingsError([missing]) from None
        try:
            return parse_settings("", name, environ, cwd=cwd, hostname=hostname)
        except SettingsError as error:
            raise SettingsError([missing, *error.problems]) from None
    except UnicodeDecodeError as error:
        before = bytes(error.object[: error.start])
        place = Place(name, before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1)
        raise SettingsError([Problem(place, "", "is not UTF-8; save the file as UTF-8")]) from None
    except OSError as error:
        raise SettingsError([Problem(Place(name), "", f"cannot be read: {_reason(error)}")]) from None
    except ValueError as error:
        raise SettingsError([Problem(Place(name), "", str(error))]) from None
    return parse_settings(text, name, environ, cwd=cwd, hostname=hostname)


def _read(path: str) -> str:
    if "\0" in path:
        raise ValueError("is no path")
    with open(path, "rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE} bytes, so it is no configuration")
    return data.decode("utf-8-sig")


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "this user may not read it; give the gateway's user the right to"
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name the file in it"
    return error.strerror or type(error).__name__
