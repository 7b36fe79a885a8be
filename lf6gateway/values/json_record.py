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
    # In blocks, so that a batch of millions of tiny records does not become millions of objects at once.
    while start < len(body):
        end = body.find(b"\n", start + _BLOCK)
        if end < 0:
            end = len(body)
        lines = body[start:end].split(b"\n")
        start = end + 1
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
        line_number += len(lines)
        if records:
            count += len(records)
            records.append(b"")
            done.append(b"\n".join(records))
    if not count:
        raise JsonProblem(1, 1, "the body holds no JSON value")
    return b"".join(done), count


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
