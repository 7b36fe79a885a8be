"""From a request's body to records: each JSON value checked, and kept as the sender's bytes on one line. Owns what is
taken as a record and where the fault is told to lie; must never rewrite more of a record than its line breaks."""

from __future__ import annotations

from typing import Final

import msgspec

from lf6gateway.values.json_grammar import MAX_DEPTH, Fault, deeper_than, first_fault

_SPACE: Final = b" \t\r\n"
_TO_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
_BLOCK: Final = 64 * 1024
_MARK: Final = b"\xef\xbb\xbf"

# Passes over a value at C speed and builds nothing of it. It looks at no UTF-8, and refuses some texts that are JSON
# (half surrogate pairs as escapes, and nesting when the stack is deep already): first_fault has the last word on those.
_quick: Final = msgspec.json.Decoder(msgspec.Raw).decode
# The same over many values, which it takes wherever they stand: one a line is for us to see.
_quick_values: Final = msgspec.json.Decoder(msgspec.Raw).decode_lines
_SHORTEST_TOO_DEEP: Final = 2 * (MAX_DEPTH + 1)


class JsonProblem(ValueError):
    """A body is not what it should be.

    :param line: in the body, from 1.
    :param column: in characters, from 1.
    :param why: what is wrong there.
    """

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(f"line {line}, column {column}: {why}")
        self.line = line
        self.column = column
        self.why = why


class RecordTooLong(JsonProblem):
    """A record of a batch is longer than records may be."""


def check_record(body: bytes) -> bytes:
    """The one JSON value of a body as one line, without an end of line.

    :raises JsonProblem: the body is empty, or not JSON (RFC 8259) in UTF-8.
    """
    record = body.strip(_SPACE)
    if not record:
        raise JsonProblem(1, 1, "the body holds no JSON value")
    fault = _fault(record)
    if fault is not None:
        before = body[: len(body) - len(body.lstrip(_SPACE)) + fault.offset]
        line = before.count(b"\n") + 1
        raise JsonProblem(line, _column(before[before.rfind(b"\n") + 1 :]), fault.why)
    if b"\n" in record or b"\r" in record:
        return record.translate(_TO_ONE_LINE)  # a string holds neither, unescaped, so these are between tokens
    return record


def check_batch(body: bytes, *, max_record: int | None = None) -> tuple[bytes, int]:
    """The records of a batch, one JSON value a line, each ending in a line break, and how many they are.

    Blank lines are skipped. One bad line refuses the whole batch.

    :param max_record: the length a record may have, in bytes.
    :raises RecordTooLong: a record is longer.
    :raises JsonProblem: the batch holds no record, or a line is not JSON (RFC 8259) in UTF-8.
    """
    done: list[bytes] = []
    count = 0
    line_number = 0
    start = 0
    as_sent = True
    # In blocks, so that a batch of millions of tiny records does not become millions of objects at once.
    while start < len(body):
        end = body.find(b"\n", start + _BLOCK)
        if end < 0:
            end = len(body) - body.endswith(b"\n")
        block = body[start:end]
        start = end + 1
        lines = block.count(b"\n") + 1
        plain = _plain_lines(block, lines, max_record)
        if plain is not None:
            as_sent = as_sent and plain is block
            done.append(plain)
            count += lines
        else:
            as_sent = False
            records = _records(block.split(b"\n"), line_number, max_record)
            if records:
                done.append(b"\n".join(records))
                count += len(records)
        line_number += lines
    if not count:
        raise JsonProblem(1, 1, "the body holds no JSON value")
    if as_sent and body.endswith(b"\n"):
        return body, count
    done.append(b"")
    return b"\n".join(done), count


def _plain_lines(block: bytes, lines: int, max_record: int | None) -> bytes | None:
    """A block of which each line is one value and nothing else, with its line ends as line feeds; ``None``: it is not,
    or a closer look must tell."""
    plain = block
    if b"\r" in block:
        plain = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if b"\r" in plain:
            return None
    try:
        if not plain.isascii():
            plain.decode()
        values = _quick_values(plain)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    # As many values as lines, and nothing but one line feed between each two: so none goes over a line's end.
    if len(values) != lines or b"\n".join(values) != plain:
        return None
    longest = max(map(len, values))
    if max_record is not None and longest > max_record:
        return None
    if longest >= _SHORTEST_TOO_DEEP and any(
        len(value) >= _SHORTEST_TOO_DEEP and deeper_than(bytes(value), MAX_DEPTH) for value in values
    ):
        return None
    return plain


def _records(lines: list[bytes], line_number: int, max_record: int | None) -> list[bytes]:
    """The records of some lines, each looked at by itself. ``line_number``: that of the line before the first."""
    records = []
    for position, line in enumerate(lines, line_number + 1):
        record = line.strip(_SPACE)
        if not record:
            continue
        if max_record is not None and len(record) > max_record:
            raise RecordTooLong(position, 1, f"the record is longer than {max_record} bytes")
        fault = _fault(record)
        if fault is not None:
            before = line[: len(line) - len(line.lstrip(_SPACE)) + fault.offset]
            raise JsonProblem(position, _column(before), fault.why)
        if b"\r" in record:
            record = record.translate(_TO_ONE_LINE)
        records.append(record)
    return records


def _fault(record: bytes) -> Fault | None:
    if not record.isascii():
        try:
            record.decode()
        except UnicodeDecodeError as error:
            return Fault(error.start, "these bytes are not UTF-8")
        if record.startswith(_MARK):
            return Fault(0, "the body begins with a byte order mark; send UTF-8 without it")
    try:
        _quick(record)
    except (msgspec.DecodeError, RecursionError):
        return first_fault(record)
    if deeper_than(record, MAX_DEPTH):
        return first_fault(record)
    return None


def _column(before: bytes) -> int:
    # ``before`` may end within a character only if that one is the fault.
    return len(before.decode(errors="replace")) + 1
