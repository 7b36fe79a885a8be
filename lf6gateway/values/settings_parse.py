"""From what was said to the settings in force, or to the list of everything that is wrong. Owns the order of the
sources (the environment over the file over the defaults); must never read either itself."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from lf6gateway.values.settings import KEYS, LISTS, REQUIRED, SECTIONS, Inconsistent, Settings
from lf6gateway.values.settings_problem import Place, Problem, SettingsError
from lf6gateway.values.settings_source import Given, Known, from_environ, from_yaml

KNOWN: Final = Known(frozenset(KEYS), frozenset(LISTS), frozenset(SECTIONS) - {""})
_PATHS: Final = (
    "cache_dir",
    "storage.directory",
    "aws.ca_bundle",
    "http.tls.certificate",
    "http.tls.key",
    "http.tls.client_ca",
    "auth.tokens_file",
    "auth.jwt_keys",
    "audit.file",
    "admin.token_file",
)


def parse_settings(text: str, name: str, environ: Mapping[str, str], *, cwd: str, hostname: str) -> Settings:
    """The settings that a YAML text and an environment make.

    :param name: the file's name, for messages.
    :param cwd: the folder that relative paths start from, an absolute path.
    :param hostname: the machine's name, for where ``hostname`` is not set.
    :raises SettingsError: something is wrong; it lists everything that is.
    """
    said, overrides = from_yaml(text, name, KNOWN), from_environ(environ, KNOWN)
    given = said.given | overrides.given
    problems = said.problems + overrides.problems
    # Where the form of the file is broken, keys may be hidden behind it: what seems missing then is not reported.
    values: dict[str, Any] = {key: one.value for key, one in given.items()}
    for key in _PATHS:
        if isinstance(path := values.get(key), str) and path and not path.startswith("~") and "://" not in path:
            values[key] = posixpath.join(cwd, path)
    values.setdefault("hostname", hostname)

    def report(key: str, what: str) -> None:
        section = key.rpartition(".")[0]
        place = given[key].place if key in given else said.sections.get(section, Place(name))
        problems.append(Problem(place, key, what))

    broken = _broken(problems)
    settings, wrong = _validated(values)
    for key, what in wrong.items():
        if key not in broken:
            report(key, what)
    if wrong:
        # Once more with stand-ins for what is wrong, to find what else is.
        rest = {key: value for key, value in values.items() if key not in wrong}
        for key in REQUIRED:
            if key in wrong:
                rest[key] = f"stand-in-{key.partition('.')[2].replace('_', '-')}"
        if "hostname" in wrong:
            rest["hostname"] = "stand-in"
        settings, _ = _validated(rest)
    if isinstance(settings, Inconsistent):
        for conflict in settings.conflicts:
            if not (broken | set(wrong)).intersection(conflict.keys):
                report(next((key for key in conflict.keys if key in given), conflict.keys[0]), conflict.what)
    if problems:
        raise SettingsError(sorted(problems, key=lambda problem: _order(problem, name)))
    assert isinstance(settings, Settings)
    return settings


def _broken(problems: list[Problem]) -> set[str]:
    """The keys of which something was said that could not be made out."""
    broken: set[str] = set()
    for problem in problems:
        if not problem.key and problem.place.line is not None:
            return set(KEYS)
        broken.update(key for key in KEYS if key == problem.key or key.startswith(problem.key + "."))
    return broken


def _validated(values: Mapping[str, Any]) -> tuple[Settings | Inconsistent | None, dict[str, str]]:
    """The settings, or the conflicts between their values, or what is wrong with each key."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    try:
        return Settings.model_validate(nested), {}
    except ValidationError as error:
        wrong: dict[str, str] = {}
        for one in error.errors(include_input=False, include_url=False):
            cause = one.get("ctx", {}).get("error")
            if isinstance(cause, Inconsistent):
                return cause, {}
            loc = [str(part) for part in one["loc"]]
            places = [".".join(loc[:depth]) for depth in range(len(loc), 0, -1)]
            wrong[next((place for place in places if place in KEYS), loc[0])] = (
                "is required, and has no default" if one["type"] == "missing" else str(cause or one["msg"])
            )
        return None, wrong


def _order(problem: Problem, name: str) -> tuple[bool, bool, int, int]:
    place = problem.place
    return (place.source != name, place.line is None, place.line or 0, place.column or 0)


__all__ = ["KNOWN", "Given", "parse_settings"]
