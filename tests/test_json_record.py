"""What is taken as a record, what is refused and where, and that not a byte of a record changes."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.json_grammar import MAX_DEPTH, deeper_than, first_fault
from lf6gateway.values.json_record import JsonProblem, RecordTooLong, check_batch, check_record

# Named as in the collections of cases that parsers are tried with: what must be taken, what must be refused.
TAKEN = {
    "array_empty": b"[]",
    "array_with_space_in_it": b"[ \t\r\n]",
    "array_mixed": b'[null, 1, "1", {}, [], true, false]',
    "object_empty": b"{}",
    "object_empty_key": b'{"":0}',
    "object_duplicate_keys": b'{"a":"b","a":"c"}',
    "object_escaped_nul_in_key": b'{"foo\\u0000bar": 42}',
    "object_long": b'{"min": -1.0e+28, "max": 1.0e+28}',
    "number_zero": b"0",
    "number_minus_zero": b"-0",
    "number_0e1": b"0e1",
    "number_0e_plus_1": b"[0e+1]",
    "number_exponent_capital": b"[1E22]",
    "number_exponent_minus": b"[1E-2]",
    "number_fraction": b"[123.456e78]",
    "number_beyond_every_double": b"[1e999999999999999999]",
    "number_of_ten_thousand_digits": b"9" * 10_000,
    "number_close_to_zero": b"[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
    "string_empty": b'""',
    "string_every_escape": b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD834\\uDd1e"',
    "string_delete_character": b'"\x7f"',
    "string_utf8": '"\u00e9 \u20ac \U0001f600 \ufeff"'.encode(),
    "string_line_separators": '"\u2028\u2029"'.encode(),
    "string_noncharacter": '"\uffff\U0010ffff"'.encode(),
    "string_half_a_pair_high": b'"\\uD800"',
    "string_half_a_pair_low": b'"\\udc00"',
    "string_half_a_pair_then_text": b'"\\ud83dabc"',
    "string_half_a_pair_then_escape": b'"\\uD800\\n"',
    "string_half_a_pair_then_half": b'"\\uD800\\uD800"',
    "string_half_a_pair_reversed": b'"\\uDd1e\\uD834"',
    "string_half_a_pair_key": b'{"\\ud800":"\\udfff"}',
    "true_alone": b"true",
    "false_alone": b"false",
    "null_alone": b"null",
    "space_around": b" \t\r\n1\n\r\t ",
}

REFUSED = {
    "empty": (b"", 1, 1),
    "space_alone": (b" \n\n ", 1, 1),
    "array_comma_at_end": (b'["",]', 1, 4),
    "array_comma_first": (b"[,1]", 1, 2),
    "array_double_comma": (b"[1,,2]", 1, 4),
    "array_not_closed": (b'["x"', 1, 5),
    "array_not_begun": (b"]", 1, 1),
    "array_closed_by_brace": (b"[1}", 1, 3),
    "array_two_values": (b"[3[4]]", 1, 3),
    "array_extra_close": (b'["x"]]', 1, 6),
    "array_newlines_not_closed": (b'["a",\n4\n,1,', 3, 4),
    "object_comma_at_end": (b'{"a":0,}', 1, 7),
    "object_key_unquoted": (b"{a:1}", 1, 2),
    "object_key_single_quotes": (b"{'a':0}", 1, 2),
    "object_key_number": (b"{1:1}", 1, 2),
    "object_no_colon": (b'{"a" b}', 1, 6),
    "object_no_value": (b'{"a":}', 1, 6),
    "object_no_value_and_end": (b'{"a":', 1, 6),
    "object_colon_twice": (b'{"x"::"b"}', 1, 6),
    "object_not_closed": (b'{"a":1', 1, 7),
    "object_only_open": (b"{", 1, 2),
    "number_plus": (b"[+1]", 1, 2),
    "number_leading_zero": (b"[012]", 1, 3),
    "number_minus_leading_zero": (b"[-012]", 1, 4),
    "number_dot_first": (b"[.123]", 1, 2),
    "number_dot_last": (b"[1.]", 1, 3),
    "number_exponent_empty": (b"[1.0e]", 1, 5),
    "number_exponent_sign_only": (b"[1e+]", 1, 3),
    "number_minus_alone": (b"[-]", 1, 2),
    "number_hex": (b"[0x42]", 1, 3),
    "number_underscore": (b"[1_000]", 1, 3),
    "number_nan": (b"[NaN]", 1, 2),
    "number_minus_nan": (b"[-NaN]", 1, 2),
    "number_infinity": (b"[Infinity]", 1, 2),
    "number_minus_infinity": (b"[-Infinity]", 1, 2),
    "number_full_width_digit": ("[\uff11]".encode(), 1, 2),
    "string_not_closed": (b'"abc', 1, 5),
    "string_control_character": (b'"a\x01"', 1, 3),
    "string_raw_newline": (b'["new\nline"]', 1, 6),
    "string_raw_tab": (b'"\t"', 1, 2),
    "string_raw_nul": (b'"\x00"', 1, 2),
    "string_escape_unknown": (b'"a\\x00"', 1, 3),
    "string_escape_short": (b'"\\u00A"', 1, 2),
    "string_escape_not_hex": (b'"\\uqqqq"', 1, 2),
    "string_escape_capital_u": (b'"\\UA66D"', 1, 2),
    "string_backslash_at_end": (b'"\\', 1, 2),
    "string_half_a_pair_and_not_closed": (b'["\\ud800', 1, 9),
    "string_single_quotes": (b"'a'", 1, 1),
    "word_wrong": (b"[nul]", 1, 2),
    "word_capital": (b"[True]", 1, 2),
    "word_and_more": (b"truex", 1, 1),
    "word_and_digit": (b"null1", 1, 1),
    "two_values": (b"1 2", 1, 3),
    "two_values_over_lines": (b'{"a":1}\n{"b":2}', 2, 1),
    "comment": (b"/**/1", 1, 1),
    "comment_behind": (b"1 // one", 1, 3),
    "space_of_another_kind": (b"\x0c1", 1, 1),
    "space_no_break": ("\u00a01".encode(), 1, 1),
    "nul_behind": (b"[1]\x00", 1, 4),
    "byte_order_mark": (b"\xef\xbb\xbf[1]", 1, 1),
    "utf16": ('"a"'.encode("utf-16"), 1, 1),
    "utf16_without_mark": ('"a"'.encode("utf-16-be"), 1, 1),
    "utf8_lone_byte": (b'["\xff"]', 1, 3),
    "utf8_overlong": (b'"\xc0\xaf"', 1, 2),
    "utf8_surrogate": (b'"\xed\xa0\x80"', 1, 2),
    "utf8_beyond_unicode": (b'"\xf4\xbf\xbf\xbf"', 1, 2),
    "utf8_cut": (b'"\xe0\xa4"', 1, 2),
    "utf8_bad_outside_strings": (b"[\xff]", 1, 2),
    "columns_count_characters": ('{"\u00e4\u20ac\U0001f600": x}'.encode(), 1, 9),
    "lines_are_counted": (b'{\n  "a": 1,\r\n  "b": oops\n}', 3, 8),
    "space_before_counts": (b"\n\n  [1,]", 3, 5),
}


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN.keys())
def test_what_the_grammar_allows_is_taken_byte_for_byte(body: bytes) -> None:
    expected = body.strip(b" \t\r\n").replace(b"\n", b" ").replace(b"\r", b" ")
    assert check_record(body) == expected
    assert first_fault(body) is None


@pytest.mark.parametrize(("body", "line", "column"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_grammar_forbids_is_refused_at_its_place(body: bytes, line: int, column: int) -> None:
    with pytest.raises(JsonProblem) as caught:
        check_record(body)
    assert (caught.value.line, caught.value.column) == (line, column), caught.value.why
    assert caught.value.why


def test_line_breaks_between_tokens_become_spaces_and_nothing_else_changes() -> None:
    body = b'{\r\n\t"a" : [1 ,\n2],  "b\\n":"\\r\\n"\r}\n'
    assert check_record(body) == b'{  \t"a" : [1 , 2],  "b\\n":"\\r\\n" }'
    assert check_record(b"[1,\r2]") == b"[1, 2]"
    assert check_record(b"[1,\n2]") == b"[1, 2]"


def test_nesting_is_taken_to_its_limit_and_refused_beyond_it() -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        inner = b"1"
        fits = opening * MAX_DEPTH + inner + closing * MAX_DEPTH
        assert check_record(fits) == fits
        for depth in (MAX_DEPTH + 1, 900, 5_000, 200_000):
            with pytest.raises(JsonProblem, match="nested too deeply") as caught:
                check_record(opening * depth + inner + closing * depth)
            assert caught.value.column == MAX_DEPTH * len(opening) + 1
    with pytest.raises(JsonProblem, match="nested too deeply"):
        check_record(b"[" * 1_000_000)


def test_the_nesting_taken_does_not_depend_on_how_deep_the_stack_is() -> None:
    fits = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    def from_below(frames: int) -> bytes:
        return check_record(fits) if frames == 0 else from_below(frames - 1)

    assert from_below(sys.getrecursionlimit() - 200) == fits


def test_brackets_within_strings_do_not_nest() -> None:
    body = json.dumps(["[{" * 2_000, '"[\\"' * 1_000]).encode()
    assert check_record(body) == body
    many = b"[" + b",".join([b"[]"] * 5_000) + b"]"
    assert check_record(many) == many


def test_a_batch_is_its_records_one_a_line() -> None:
    body = b'\n{"a":1}\r\n\n  [2,\r3]  \n"\\ud800"\n\n' + "\u00e9".join(['"', '"']).encode()
    assert check_batch(body) == (b'{"a":1}\n[2, 3]\n"\\ud800"\n"\xc3\xa9"\n', 4)


def test_one_bad_line_refuses_the_batch_and_is_named() -> None:
    with pytest.raises(JsonProblem) as caught:
        check_batch(b'{"a":1}\n\n {"a":oops}\n{"a":2}\n')
    assert (caught.value.line, caught.value.column) == (3, 7)
    with pytest.raises(JsonProblem) as caught:
        check_batch(b'{"a":1}\n' * 20_000 + b'["\xff"]\n')
    assert (caught.value.line, caught.value.column) == (20_001, 3)
    with pytest.raises(JsonProblem) as caught:
        check_batch(b"1\n[2,\n3]\n")  # one value must not go over two lines
    assert caught.value.line == 2
    with pytest.raises(JsonProblem) as caught:
        check_batch(b"1 2\n")
    assert (caught.value.line, caught.value.column) == (1, 3)


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n\n" * 50_000])
def test_a_batch_of_nothing_is_refused(body: bytes) -> None:
    with pytest.raises(JsonProblem, match="no JSON value"):
        check_batch(body)


def test_a_record_of_a_batch_has_its_own_limit() -> None:
    assert check_batch(b'"1234"\n', max_record=6) == (b'"1234"\n', 1)
    with pytest.raises(RecordTooLong) as caught:
        check_batch(b'1\n"12345"\n', max_record=6)
    assert caught.value.line == 2


def test_a_batch_larger_than_a_block_keeps_every_record() -> None:
    records = [json.dumps({"n": n, "text": "x" * (n % 700)}).encode() for n in range(2_000)]
    assert check_batch(b"\n".join(records)) == (b"\n".join(records) + b"\n", 2_000)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_any_value_survives(value: object, indent: int | str | None, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        return
    record = check_record(body)
    assert b"\n" not in record and len(record) == len(body.strip())
    assert json.loads(record) == value


def refuse_constant(name: str) -> object:
    raise ValueError(name)


def stdlib_takes(body: bytes) -> bool:
    try:
        json.loads(body.decode(), parse_constant=refuse_constant, parse_int=str, parse_float=str)
    except ValueError:
        return False
    return True


PIECES = st.lists(
    st.sampled_from(
        rb'[ ] { } , : " "a" \u d800 \" \ 1 0 - . e E+ true null NaN x'.split() + list(b" \n\r\t\x00\x1f\x7f\xff")
    ),
    max_size=14,
).map(lambda pieces: b"".join(bytes([piece]) if isinstance(piece, int) else piece for piece in pieces))


@given(PIECES | st.binary(max_size=20))
def test_the_verdict_is_that_of_a_parser_that_builds_everything(body: bytes) -> None:
    if not stdlib_takes(body):
        with pytest.raises(JsonProblem) as caught:
            check_record(body)
        assert 1 <= caught.value.line <= body.count(b"\n") + 1
        assert 1 <= caught.value.column <= len(body) + 1
        return
    assert check_record(body) == body.strip(b" \t\r\n").replace(b"\r", b" ").replace(b"\n", b" ")
    assert first_fault(body) is None


@given(PIECES)
def test_the_slow_verdict_agrees_with_the_quick_one(body: bytes) -> None:
    if body.isascii():
        assert (first_fault(body) is None) == stdlib_takes(body)


@given(VALUES, st.integers(0, 6))
def test_depth_is_what_a_walk_of_the_value_finds(value: object, depth: int) -> None:
    def deep(inner: object) -> int:
        if isinstance(inner, dict):
            return 1 + max((deep(one) for one in inner.values()), default=0)
        if isinstance(inner, list):
            return 1 + max((deep(one) for one in inner), default=0)
        return 0

    assert deeper_than(json.dumps(value).encode(), depth) == (deep(value) > depth)


@given(st.lists(VALUES, min_size=1, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"]))
def test_a_batch_is_what_its_lines_are_alone(values: list[object], end: bytes) -> None:
    records = [json.dumps(value).encode() for value in values]
    assert check_batch(end.join(records) + end) == (b"".join(record + b"\n" for record in records), len(values))


LINES = st.sampled_from(
    [b"1", b"[1,2]", b'{"a":"b"}', b" 1", b"1 ", b"\t2", b"", b"  ", b"1 2", b"{}{}", b"[1,", b"2]", b'"\\ud800"', b"1\r", b"\r",
     b"[1,\r2]", b'"\xc3\xa9"', b'"\xc3"', b"\xef\xbb\xbf1", b"[" * 501 + b"]" * 501, b'"' + b"x" * 2_000 + b'"', b"1,2", b"1\x0b"]
)  # fmt: skip


def line_by_line(body: bytes, max_record: int | None) -> tuple[bytes, int] | tuple[type[JsonProblem], int, int]:
    """The verdict of looking at each line alone."""
    records = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip(b" \t\r\n"):
            continue
        if max_record is not None and len(line.strip(b" \t\r\n")) > max_record:
            return RecordTooLong, number, 1
        try:
            records.append(check_record(line))
        except JsonProblem as problem:
            return JsonProblem, number, problem.column
    return b"".join(record + b"\n" for record in records), len(records)


@given(
    st.lists(LINES, min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([None, 1_999]),
    st.sampled_from([0, 40, 70_000]),
)
def test_the_quick_way_over_a_batch_agrees_with_a_look_at_each_line(
    lines: list[bytes], ended: bool, max_record: int | None, before: int
) -> None:
    body = b'{"n":1}\n' * (before // 8) + b"\n".join(lines) + (b"\n" if ended else b"")
    expected = line_by_line(body, max_record)
    if expected == (b"", 0):
        expected = (JsonProblem, 1, 1)
    try:
        found: object = check_batch(body, max_record=max_record)
    except JsonProblem as problem:
        found = (type(problem), problem.line, problem.column)
    assert found == expected


def test_a_batch_as_it_should_be_is_not_copied() -> None:
    body = b'{"a":[1,2,"\xc3\xa9"]}\n' * 10_000
    assert check_batch(body)[0] is body
    assert check_batch(body.replace(b"\n", b"\r\n")) == (body, 10_000)
