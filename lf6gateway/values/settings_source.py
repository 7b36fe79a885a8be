"""What was said in the configuration file and in the environment, key by key, with the place of each. Owns the form of
both sources; must never judge a value, nor repeat one in a message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from lf6gateway.values.settings_problem import Place, Problem, shown

ENV_PREFIX: Final = "LIGHTFILE6_"
"""What the names of our environment variables begin with."""

_YAML: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(_YAML + kind for kind in ("str", "int", "float", "bool", "timestamp", "value"))
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_SERVICE_LINK: Final = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


@dataclass(frozen=True, slots=True)
class Given:
    """The value of one key as it was written: text, or for a list texts."""

    value: str | tuple[str, ...]
    place: Place


@dataclass(slots=True)
class Said:
    """All that a source says: the keys' values, where each section begins, and what is wrong with its form."""

    given: dict[str, Given] = field(default_factory=dict)
    sections: dict[str, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """The keys there are: those with a value, those of them whose value is a list, and those that hold keys."""

    keys: frozenset[str]
    lists: frozenset[str]
    sections: frozenset[str]


def variable(key: str) -> str:
    """The environment variable that overrides a key."""
    return ENV_PREFIX + key.upper().replace(".", "_")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that was most likely meant: alike as a whole, or in its last part."""
    best, best_likeness = None, 0.7
    for known in sorted(names):
        likeness = max(
            difflib.SequenceMatcher(None, name.lower(), known).ratio(),
            0.99 * difflib.SequenceMatcher(None, name.lower().rpartition(".")[2], known.rpartition(".")[2]).ratio(),
        )
        if likeness > best_likeness:
            best, best_likeness = known, likeness
    return best


def from_environ(environ: Mapping[str, str], known: Known) -> Said:
    """What the environment says. An empty variable says nothing. Names that a container platform sets by itself for a
    service called ``lightfile6-...`` are not ours."""
    said = Said()
    keys = {variable(key): key for key in known.keys}
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX):
            continue
        if name not in keys:
            if _SERVICE_LINK.fullmatch(name):
                continue
            near = difflib.get_close_matches(name, keys, 1, 0.7)
            hint = f"did you mean {near[0]}?" if near else f"it is {ENV_PREFIX} and a key in capitals, with . as _"
            said.problems.append(Problem(Place(shown(name)), "", f"no key has this environment variable; {hint}"))
        elif text:
            said.given[keys[name]] = Given(text, Place(name))
    return said


def from_yaml(text: str, name: str, known: Known) -> Said:
    """What a YAML text says; ``name`` stands for it in messages."""
    said = Said()
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        said.problems.append(Problem(_place(name, error.problem_mark or error.context_mark), "", _syntax(error)))
        return said
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(name, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        said.problems.append(Problem(place, "", "holds a character that YAML does not allow; remove it"))
        return said
    except RecursionError:
        said.problems.append(Problem(Place(name), "", "is nested far too deeply; it is a mapping of sections and keys"))
        return said
    if root is not None and not _is_null(root):
        _walk(root, "", name, known, said)
    return said


def _walk(node: yaml.Node, section: str, name: str, known: Known, said: Said) -> None:
    if not isinstance(node, yaml.MappingNode):
        if section:
            some = sorted(key for key in known.keys if key.startswith(section + "."))
            what = (
                f"holds keys of its own ({', '.join(some[:3])}{', ...' if len(some) > 3 else ''}); indent them below it"
            )
        else:
            what = "is not a mapping; write keys with their values, such as cache_dir: /var/lib/gateway"
        said.problems.append(Problem(_place(name, node.start_mark), section, what))
        return
    first: dict[str, int] = {}
    for key_node, value in node.value:
        place = _place(name, key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            said.problems.append(Problem(place, section, "has a key that is not plain text; write name: value"))
            continue
        key = f"{section}.{key_node.value}" if section else key_node.value
        if key in first:
            what = f"is given twice; it is already on line {first[key]}: remove one of them"
            said.problems.append(Problem(place, shown(key), what))
            continue
        first[key] = key_node.start_mark.line + 1
        _one(key, value, place, name, known, said)


def _one(key: str, node: yaml.Node, place: Place, name: str, known: Known, said: Said) -> None:
    def wrong(what: str) -> None:
        said.problems.append(Problem(place, shown(key), what))

    if key in known.sections:
        said.sections[key] = place
        if not _is_null(node):
            _walk(node, key, name, known, said)
    elif key not in known.keys:
        near = nearest(key, known.keys | known.sections)
        if key.rpartition(".")[2] == "<<":
            wrong("merge keys are not taken here; write the keys themselves")
        else:
            wrong("unknown key" + (f"; did you mean {near}?" if near else "; config.example.yml lists them all"))
    elif _is_null(node):
        return  # a key without a value keeps its default
    elif isinstance(node, yaml.ScalarNode):
        if node.tag not in _SCALARS:
            wrong("has a YAML tag, which is not taken here; write the value alone")
        else:
            said.given[key] = Given(node.value, _place(name, node.start_mark))
    elif key in known.lists and isinstance(node, yaml.SequenceNode):
        if all(isinstance(item, yaml.ScalarNode) and item.tag in _SCALARS for item in node.value):
            said.given[key] = Given(tuple(item.value for item in node.value), _place(name, node.start_mark))
        else:
            wrong("takes a list of plain texts")
    else:
        wrong("takes a list of plain texts" if key in known.lists else "takes one value, not a list or a mapping")


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _YAML + "null"


def _place(name: str, mark: yaml.Mark | None) -> Place:
    return Place(name) if mark is None else Place(name, mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    words = ", ".join(part for part in (error.context, error.problem) if part)
    return "is not YAML: " + _QUOTED.sub(_unquoted, " ".join(words.split()))


def _unquoted(found: re.Match[str]) -> str:
    # PyYAML quotes pieces of the text, which may be part of a secret; single signs and names of tokens are harmless.
    inner = found[0][1:-1]
    return found[0] if len(inner) <= 1 or re.fullmatch(r"<[a-z ]+>", inner) else "(...)"
