"""Opens the places that delivered objects are read from: those of the configuration, or of ``--from``. Owns how the
options become stores, and that every failure of one is told in a line; must never write to a store."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lf6gateway.edges.commands.refusal import DEFAULT_CONFIG, Refusal, settings_of
from lf6gateway.services.catalogue import Catalogue, Source
from lf6gateway.services.patient import PatientStore
from lf6gateway.stores.file_names import META
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.location import Location, parse_location, stream_prefix
from lf6gateway.values.printable import printable
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

if TYPE_CHECKING:  # what takes long to import comes with the work: a shell that completes a word waits for this module
    from pydantic import ValidationError

    from lf6gateway.services.outlets import Outlets
    from lf6gateway.services.threads import Threads
    from lf6gateway.values.settings import Settings

T = TypeVar("T")
_REGION: Final = "us-east-1"
_SILENT_S: Final = 60.0
"""Seconds for which the same failure is not told again."""
_HIGHEST: Final = 6
"""Folders up to which one is looked for that a gateway writes to, above the one that was named."""


@dataclass(frozen=True, slots=True)
class Places:
    """What a command that reads delivered objects works with.

    :param reactor: waits.
    :param offload: runs what blocks.
    :param catalogue: finds objects.
    """

    reactor: Any
    offload: Threads
    catalogue: Catalogue

    def store(self, stream: Stream) -> PatientStore:
        """Where a stream lies."""
        return self.catalogue.sources[stream].store


def complain(text: str) -> None:
    """Tell something on standard error, in a line."""
    print(f"lf6gateway: {printable(text)}", file=sys.stderr, flush=True)


def with_places(
    chosen: argparse.Namespace, streams: Sequence[Stream], work: Callable[[Places], Awaitable[T]], *, every: bool = True
) -> T:
    """Open the places of some streams, do something with them, and close them.

    :param every: each of the streams has to be there; else those that are not are left out.
    :raises Refusal: a place cannot be used.
    """
    from lf6gateway.edges.commands.reacting import in_reactor
    from lf6gateway.services.outlets import Outlets
    from lf6gateway.services.threads import Threads

    settings = _settings(chosen)

    async def body(reactor: Any) -> T:
        threads = Threads(reactor, "reading", chosen.jobs + 2 if hasattr(chosen, "jobs") else 4)
        threads.startService()
        opened: dict[Location | None, Outlets] = {}
        try:
            sources: dict[Stream, Source] = {}
            for location, one in settings:
                opened[location] = Outlets(one, reactor=reactor, offload=threads, spool="reading")
                found = await _sources(opened[location], location, streams, reactor)
                sources.update({stream: source for stream, source in found.items() if stream not in sources})
            missing = [stream for stream in streams if stream not in sources]
            if (missing and every) or not sources:
                raise Refusal(_not_there(missing, [location for location, _ in settings]))
            return await work(Places(reactor, threads, Catalogue(sources, lambda: Slot.at(time.time_ns()))))
        finally:
            for outlets in opened.values():
                await outlets.close()
            await threads.stopService()

    try:
        return in_reactor(body)
    except StoreError as error:
        raise Refusal(_words(error, bool(chosen.places))) from error
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:
        _give_up_output()
        what = error.filename or "standard output"
        raise Refusal(f"{what}: {error.strerror or error}; see that there is room, and a right to write") from error


def _give_up_output() -> None:
    """What is still to be written cannot be, so the end of the process must not try."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def mended(error: StoreError, places: bool) -> str:
    """A failure of a store in the words of the command line."""
    return _words(error, places)


def _words(error: StoreError, places: bool) -> str:
    text = str(error)
    if places:
        text = text.replace("set aws.region (now", "give --region (now").replace("in the configuration", "after --from")
        text = text.replace("set aws.access_key_id and aws.secret_access_key, or give", "give")
        text = text.replace("check aws.access_key_id and aws.secret_access_key", "check the access key and its secret")
    if error.kind is Kind.TRANSIENT:
        text += "; see whether the store is up and its address right, then run the command again"
    return printable(text)


def _settings(chosen: argparse.Namespace) -> list[tuple[Location | None, Settings]]:
    if not chosen.places:
        told = chosen.config is not None or any(name.startswith("LIGHTFILE6_") for name in os.environ)
        if not told and not os.path.exists(DEFAULT_CONFIG):
            raise Refusal(
                "say where the objects are: --from s3://bucket/prefix, --from /a/folder, or a gateway's configuration "
                f"with -c (there is none at {DEFAULT_CONFIG})"
            )
        return [(None, settings_of(chosen.config))]
    try:
        locations = [parse_location(text, os.getcwd()) for text in chosen.places]
    except ValueError as error:
        raise Refusal(f"--from {error}") from error
    base = settings_of(chosen.config) if chosen.config is not None else None
    return [(_rooted(location), _settings_at(location, chosen, base)) for location in locations]


def _settings_at(location: Location, chosen: argparse.Namespace, base: Settings | None) -> Settings:
    from pydantic import ValidationError

    from lf6gateway.values.settings import Settings

    values: dict[str, Any] = {"hostname": "reader"}
    if location.folder:
        if not os.path.isdir(location.folder):
            raise Refusal(f"--from {location.folder}: there is no such folder; name the one that holds the streams")
        values["storage"] = {"directory": _rooted(location).folder}
    else:
        values["s3"] = {f"{stream}_bucket": location.bucket for stream in Stream}
        values["s3"] |= {f"{stream}_prefix": f"{stream}/" for stream in Stream}
        aws = {} if base is None else {name: getattr(base.aws, name) for name in base.aws.model_fields_set}
        values["aws"] = aws
        endpoint = chosen.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint and (chosen.endpoint or "endpoint" not in aws):
            aws["endpoint"] = endpoint
        if chosen.profile:
            aws["profile"] = chosen.profile
        if chosen.region or "region" not in aws:
            aws["region"] = chosen.region or _region(chosen.profile)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise Refusal(_invalid(error)) from error


def _invalid(error: ValidationError) -> str:
    from lf6gateway.values.settings import Inconsistent

    lines = []
    for one in error.errors(include_input=False, include_url=False):
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, Inconsistent):
            return f"--from: {cause.conflicts[0].what}"
        option = {"aws": f"--{one['loc'][-1]}"}.get(str(one["loc"][0]) if one["loc"] else "", "--from")
        lines.append(f"{option} {cause or one['msg']}")
    return "; ".join(dict.fromkeys(lines))


def _region(profile: str | None) -> str:
    """As every AWS tool finds it."""
    import botocore.session

    try:
        told = botocore.session.Session(profile=profile).get_config_variable("region")
    except Exception as error:  # whatever the configuration files make it stumble over
        raise Refusal(f"the AWS configuration cannot be read: {error}; give --region, or mend it") from error
    return str(os.environ.get("AWS_REGION") or told or _REGION)


def _rooted(location: Location) -> Location:
    """A folder as a prefix below the folder that a gateway writes to, for what is noted of its objects lies there."""
    folder, below = location.folder, ""
    for _ in range(_HIGHEST):
        if not folder or folder == "/":
            return location
        if os.path.isdir(os.path.join(folder, META)):
            return Location("", folder, below, location.stream)
        folder, _, name = folder.rpartition("/")
        below = f"{name}/{below}"
    return location


async def _sources(
    outlets: Outlets, location: Location | None, streams: Sequence[Stream], reactor: Any
) -> dict[Stream, Source]:
    said: dict[str, float] = {}

    def told(error: StoreError) -> None:
        text = f"{outlets.names[streams[0]]}: {error.detail}; trying again"
        if reactor.seconds() - said.get(text, -_SILENT_S) >= _SILENT_S:
            said.clear()
            said[text] = reactor.seconds()
            complain(text)

    def source(stream: Stream, prefix: str) -> Source:
        return Source(PatientStore(outlets.stores[stream], clock=reactor, told=told), prefix, outlets.names[stream])

    if location is None:
        return {stream: source(stream, outlets.prefixes[stream]) for stream in streams}
    if location.stream is not None:
        return {location.stream: source(location.stream, location.prefix)} if location.stream in streams else {}
    names = await source(streams[0], "").store.folders(location.prefix)
    found = {stream: stream_prefix(stream, location.prefix, names) for stream in streams}
    return {stream: source(stream, prefix) for stream, prefix in found.items() if prefix is not None}


def _not_there(streams: Sequence[Stream], locations: Sequence[Location | None]) -> str:
    where = ", ".join(str(location) for location in locations if location is not None)
    return (
        f"no {' or '.join(streams)} objects are at {printable(where)}: there is no folder of that name, nor one of a "
        f"year; name the place where they lie, as --from {streams[0]}=…"
    )
