"""Compressed bodies: decoded piece by piece, in bounded memory, and refused when they are not what they claim."""

from __future__ import annotations

import gzip
import random
import zlib
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.edges.body import (
    BadCoding,
    TooMuch,
    UnknownCoding,
    coding_of,
    decode_whole,
    decoder_for,
)


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


def zstd(data: bytes, **how: int) -> bytes:
    return zstandard.ZstdCompressor(**how).compress(data)  # type: ignore[arg-type]


ENCODERS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd),
    "gzip of several members": (
        "gzip",
        lambda data: gzip.compress(data[:7]) + gzip.compress(b"") + gzip.compress(data[7:]),
    ),
    "zstd of several frames": ("zstd", lambda data: zstd(data[:7]) + b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd(data[7:])),
}


@given(
    name=st.sampled_from(sorted(ENCODERS)),
    data=st.binary(max_size=3_000),
    size=st.integers(1, 900),
    about=st.integers(1, 5_000),
)
def test_a_body_comes_out_as_it_was_however_it_is_cut(name: str, data: bytes, size: int, about: int) -> None:
    coding, encode = ENCODERS[name]
    encoded = encode(data)
    decoder = decoder_for(coding)
    out = b""
    for at in range(0, len(encoded), size):
        decoder.feed(encoded[at : at + size])
        while pieces := decoder.take(about):
            out += b"".join(pieces)
    decoder.finish()
    assert out == data


@pytest.mark.parametrize("name", ENCODERS)
def test_nothing_is_held_back_when_little_is_asked_for_at_a_time(name: str) -> None:
    coding, encode = ENCODERS[name]
    for size in range(600):
        decoder = decoder_for(coding)
        decoder.feed(encode(b"a" * size))
        out = b""
        while pieces := decoder.take(1):
            out += b"".join(pieces)
        decoder.finish()
        assert out == b"a" * size


@pytest.mark.parametrize("name", ENCODERS)
def test_a_large_body_comes_out_as_it_was(name: str) -> None:
    coding, encode = ENCODERS[name]
    data = random.Random(5).randbytes(300_000) + b"the same again " * 100_000
    encoded = encode(data)
    chunks = [encoded[at : at + 65_536] for at in range(0, len(encoded), 65_536)]
    assert decode_whole(coding, chunks, len(data)) == data
    with pytest.raises(TooMuch):
        decode_whole(coding, chunks, len(data) - 1)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_body_that_is_cut_off_is_refused(name: str) -> None:
    coding, encode = ENCODERS[name]
    encoded = encode(b"0123456789" * 50)
    cuts = {len(encoded) - 1, len(encoded) - 4, len(encoded) // 2 + 3, 3, 1, 0}
    for cut in cuts:
        with pytest.raises(BadCoding):
            decode_whole(coding, [encoded[:cut]], 10_000)
    with pytest.raises(BadCoding):
        decode_whole(coding, [], 10_000)


@pytest.mark.parametrize("name", ENCODERS)
def test_garbage_is_refused_wherever_it_stands(name: str) -> None:
    coding, encode = ENCODERS[name]
    encoded = encode(b"0123456789" * 50)
    for bad in (b"this is not compressed", encoded + b"more", b"\xff" + encoded[1:]):
        with pytest.raises(BadCoding):
            decode_whole(coding, [bad], 10_000)


def test_a_changed_byte_is_found_by_the_checksum() -> None:
    encoded = bytearray(gzip.compress(b"0123456789" * 50, compresslevel=0))
    encoded[40] ^= 1
    with pytest.raises(BadCoding):
        decode_whole("gzip", [bytes(encoded)], 10_000)


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd)])
def test_a_bomb_comes_out_in_small_steps(coding: str, encode: object) -> None:
    bomb = encode(bytes(64 * 1024 * 1024))  # type: ignore[operator]
    assert len(bomb) < 100_000
    decoder = decoder_for(coding)
    decoder.feed(bomb)
    largest = total = 0
    while pieces := decoder.take(256 * 1024):
        got = sum(map(len, pieces))
        largest, total = max(largest, got), total + got
    assert total == 64 * 1024 * 1024
    assert largest <= 9 * 1024 * 1024
    with pytest.raises(TooMuch):
        decode_whole(coding, [bomb], 1_000_000)


def test_a_zstd_window_that_would_take_the_memory_is_refused() -> None:
    engine = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    ).compressobj()
    body = engine.compress(b"x" * 100) + engine.flush()
    with pytest.raises(BadCoding, match="window"):
        decode_whole("zstd", [body], 1_000)


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], None),
        ([b""], None),
        ([b"identity"], None),
        ([b"Identity, identity"], None),
        ([b"gzip"], "gzip"),
        ([b"X-GZIP"], "x-gzip"),
        ([b"identity, GZip"], "gzip"),
        ([b"identity", b"zstd"], "zstd"),
        ([b" deflate "], "deflate"),
    ],
)
def test_the_coding_of_a_body(values: list[bytes], coding: str | None) -> None:
    assert coding_of(values) == coding


@pytest.mark.parametrize("values", [[b"br"], [b"gzip, gzip"], [b"gzip", b"zstd"], [b"gzip;q=1"], [b"\xff"], [b"g zip"]])
def test_codings_that_are_not_taken(values: list[bytes]) -> None:
    with pytest.raises(UnknownCoding):
        coding_of(values)


@pytest.mark.parametrize(
    ("coding", "part"),
    [("gzip", gzip.compress(b"", mtime=0)), ("zstd", zstandard.compress(b"")), ("gzip", gzip.compress(b"1", mtime=0))],
)
def test_a_body_of_countless_empty_parts_is_refused_and_one_of_many_small_ones_is_not(coding: str, part: bytes) -> None:
    encode = partial(gzip.compress, mtime=0) if coding == "gzip" else zstandard.compress
    with pytest.raises(BadCoding, match="more members or frames"):
        decode_whole(coding, [part * 2_000], 1 << 20)
    assert decode_whole(coding, [part * 900], 1 << 20) == b"1" * (900 if encode(b"1") == part else 0)
    assert decode_whole(coding, [encode(b"0123456789" * 7) * 5_000], 1 << 20) == b"0123456789" * 35_000
