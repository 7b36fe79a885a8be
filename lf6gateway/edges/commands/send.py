"""``lf6gateway send``: sends files of records and specimens to a gateway. Owns its arguments, the reading of the files
and what is shown; must never send by itself, which is the client's, nor take a token as an argument, where all may read
it."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from lf6gateway.client.failures import NotSendable
from lf6gateway.client.options import Options
from lf6gateway.client.records import line_of
from lf6gateway.client.specimen import Specimen, specimen_of
from lf6gateway.client.uploading import Line, Stopped, Uploader
from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.edges.progress import ByteProgress
from lf6gateway.values.duration import parse_duration
from lf6gateway.values.size import parse_size

URL_VARIABLE: Final = "LF6GATEWAY_URL"
TOKEN_VARIABLE: Final = "LF6GATEWAY_TOKEN"  # noqa: S105 - its name, not itself
DEFAULT_URL: Final = "http://localhost:8080"
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of the longest record that is read at all; the gateway's own limit is usually less."""
_COPY: Final = 1 << 20


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    send = commands.add_parser(
        "send",
        help="send usage reports, error reports or specimens to a gateway",
        description="Sends files to a gateway and waits until each is acknowledged. Reports: NDJSON (a record a line; "
        "also from standard input, -) or, where the name ends in .json, one JSON value; .gz is unpacked. Specimens: "
        "files, and all files below folders. Status 0: all was acknowledged; 1: something was refused or could not be "
        "sent, and is named; 2: wrong usage.",
        epilog="A token is never an argument, for everybody on the machine could read it there: it is in a file, or in "
        f"the environment variable {TOKEN_VARIABLE}. Where the gateway's auth.mode is open, --user is enough.",
    )
    send.add_argument("stream", choices=("usage", "error", "specimen"), help="what is sent")
    send.add_argument("paths", nargs="+", metavar="PATH", help="files; - is standard input; for specimens also folders")
    where = send.add_argument_group("the gateway")
    where.add_argument("--url", default=None, help=f"the gateway's URL [default: {URL_VARIABLE}, else {DEFAULT_URL}]")
    who = where.add_mutually_exclusive_group()
    who.add_argument("--user", default=None, help="the user's name, where auth.mode is open")
    who.add_argument("--token-file", default=None, metavar="FILE", help="a file that holds the token alone")
    where.add_argument("--ca-file", default=None, metavar="FILE", help="the authorities that may sign its certificate")
    where.add_argument("--certificate", default=None, metavar="FILE", help="a certificate of your own (PEM)")
    where.add_argument("--key", default=None, metavar="FILE", help="its private key, if that is another file")
    where.add_argument("--proxy", default=None, metavar="URL", help="an HTTP proxy [default: as the environment says]")
    how = send.add_argument_group("sending")
    how.add_argument("--format", choices=("auto", "ndjson", "json"), default="auto", help="of reports [default: auto]")
    how.add_argument(
        "--batch-records", type=_count, default=1000, metavar="N", help="records a request [default: 1000]"
    )
    how.add_argument(
        "--batch-size", type=_size, default=1 << 20, metavar="SIZE", help="bytes a request [default: 1MiB]"
    )
    how.add_argument("--no-compress", action="store_true", help="do not send batches as gzip")
    how.add_argument(
        "--retry-for", type=_span, default=300.0, metavar="SPAN", help="how long a request is tried again [default: 5m]"
    )
    how.add_argument(
        "--idempotency-key",
        default=None,
        metavar="NAME",
        help="begin the keys of the requests with this; the same command, repeated with it within the hour, sends "
        "nothing twice [default: random keys, which cover the retries of one run]",
    )
    how.add_argument("--uri", default=None, help="what the specimen is called [default: file: and its path]")
    how.add_argument("--content-type", default=None, help="of the specimens [default: guessed by the gateway]")
    send.add_argument("--json", action="store_true", help="print a summary as JSON")
    send.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 0 when everything was acknowledged."""
    url = chosen.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    progress = ByteProgress("sent", _total(chosen.paths))
    options = Options(
        compress=not chosen.no_compress,
        ca_file=chosen.ca_file,
        certificate=chosen.certificate,
        key=chosen.key,
        proxy=chosen.proxy,
    )
    if chosen.uri is not None and (chosen.stream != "specimen" or len(chosen.paths) != 1):
        raise Refusal("--uri is for one specimen")
    try:
        uploader = Uploader(url, _who(chosen), options, patience=chosen.retry_for, waiting=progress.waiting)
    except (ValueError, OSError) as error:
        raise Refusal(str(error)) from error
    begun = time.monotonic()
    stopped = None
    try:
        send = _specimens if chosen.stream == "specimen" else _records
        send(chosen, uploader, chosen.idempotency_key or secrets.token_hex(16), progress)
    except Stopped as error:
        stopped = str(error)
    finally:
        uploader.close()
        progress.clear()
        _summary(chosen, url, uploader, stopped, time.monotonic() - begun)
    return 1 if stopped or uploader.tally.refused else 0


def _who(chosen: argparse.Namespace) -> str:
    if chosen.user is not None:
        return str(chosen.user)
    if chosen.token_file is not None:
        token = Path(chosen.token_file).read_text(encoding="utf-8").strip()
        if not token:
            raise Refusal(f"{chosen.token_file} is empty; it should hold the token")
        return token
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        if chosen.certificate is not None:
            return "-"  # the certificate names the user
        raise Refusal(f"nobody is named; give --user or --token-file, or set {TOKEN_VARIABLE}")
    return token


def _records(chosen: argparse.Namespace, uploader: Uploader, prefix: str, progress: ByteProgress) -> None:
    batch: list[Line] = []
    size = number = 0

    def send() -> None:
        nonlocal size, number
        if batch:
            number += 1
            uploader.batch(chosen.stream, batch, f"{prefix}-{number}")
            batch.clear()
            size = 0

    for path in chosen.paths:
        with _reading(path, uploader) as file:
            if file is None:
                continue
            for line in _lines(file, path, chosen.format, uploader, progress):
                if batch and (size + len(line.data) > chosen.batch_size or len(batch) >= chosen.batch_records):
                    send()
                batch.append(line)
                size += len(line.data)
    send()


@contextmanager
def _reading(path: str, uploader: Uploader) -> Iterator[BinaryIO | None]:
    """A file of records, unpacked; ``None`` where it cannot be read, which is told."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        uploader.tally.refused.append((path, f"it cannot be read: {error.strerror}"))
        yield None
        return
    with file:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.endswith(".gz") else file


def _lines(file: BinaryIO, path: str, form: str, uploader: Uploader, progress: ByteProgress) -> Iterator[Line]:
    whole = form == "json" or (form == "auto" and path.removesuffix(".gz").endswith(".json"))
    refused = uploader.tally.refused
    number = 0
    try:
        while data := file.read(LONGEST + 1) if whole else file.readline(LONGEST + 1):
            number += 1
            where = path if whole else f"{path}:{number}"
            progress.add(len(data))
            if len(data) > LONGEST:
                refused.append((where, f"it is longer than {LONGEST} bytes"))
                while not whole and data and not data.endswith(b"\n"):
                    data = file.readline(LONGEST)
                if whole:
                    return
            elif data.strip(b" \t\r\n"):
                try:
                    yield Line(line_of(data, most=LONGEST + 2), where)
                except NotSendable as error:
                    refused.append((where, str(error)))
    except (OSError, EOFError) as error:  # gzip tells of damage by either
        refused.append((f"{path}:{number + 1}", f"it cannot be read on: {error}"))


def _specimens(chosen: argparse.Namespace, uploader: Uploader, prefix: str, progress: ByteProgress) -> None:
    for number, path in enumerate(_files(chosen.paths), 1):
        try:
            with _specimen(path, chosen.uri, chosen.content_type) as (specimen, file, length):
                uploader.specimen(
                    file,
                    length,
                    uri=specimen.head["uri"],
                    content_type=specimen.head.get("content_type"),
                    key=f"{prefix}-{number}",
                    where=path,
                )
            progress.add(length)
        except OSError as error:
            uploader.tally.refused.append((path, f"it cannot be read: {error.strerror or error}"))
        except NotSendable as error:
            uploader.tally.refused.append((path, str(error)))


@contextmanager
def _specimen(path: str, uri: str | None, content_type: str | None) -> Iterator[tuple[Specimen, BinaryIO, int]]:
    if path != "-":
        specimen = specimen_of(path, uri, content_type)
        with specimen.opened() as (file, length):
            yield specimen, file, length
        return
    if uri is None:
        raise NotSendable("standard input has no name; give one with --uri")
    # Its length must be known before it is sent, and it may have to be sent again.
    with tempfile.TemporaryFile() as copy:
        while piece := sys.stdin.buffer.read(_COPY):
            copy.write(piece)
        length = copy.tell()
        copy.seek(0)
        yield specimen_of(path, uri, content_type), cast(BinaryIO, copy), length


def _files(paths: Sequence[str]) -> Iterator[str]:
    """The files that are named, and those below folders, in order; links in folders are not followed."""
    for path in paths:
        if path == "-" or not os.path.isdir(path):
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                whole = os.path.join(folder, name)
                if os.path.isfile(whole) and not os.path.islink(whole):
                    yield whole


def _total(paths: Sequence[str]) -> int | None:
    """Bytes of all files, where that is known and can be compared with what is read."""
    total = 0
    for path in paths:
        if path == "-" or path.endswith(".gz") or os.path.isdir(path):
            return None
        try:
            total += os.stat(path).st_size
        except OSError:
            continue  # it is told when it is read
    return total


def _summary(chosen: argparse.Namespace, url: str, uploader: Uploader, stopped: str | None, seconds: float) -> None:
    tally = uploader.tally
    out: IO[str] = sys.stderr
    for where, why in tally.refused:
        print(f"lf6gateway: {where}: {why}", file=out)
    if stopped is not None:
        print(f"lf6gateway: {stopped}", file=out)
    if chosen.json:
        found = {
            "stream": chosen.stream,
            "url": url,
            "sent": tally.sent,
            "bytes": tally.bytes,
            "requests": tally.requests,
            "retries": tally.retries,
            "seconds": round(seconds, 3),
            "refused": [{"where": where, "why": why} for where, why in tally.refused],
            "stopped": stopped,
        }
        print(json.dumps(found, ensure_ascii=False))
    else:
        what = "specimens" if chosen.stream == "specimen" else f"{chosen.stream} reports"
        print(f"{tally.sent} {what} acknowledged, {len(tally.refused)} not, in {tally.requests} requests")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000000")
    return int(text)


def _size(text: str) -> int:
    try:
        return max(1, parse_size(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _span(text: str) -> float:
    if text == "0":
        return 0.0
    try:
        return parse_duration(text).seconds
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None
