"""Requests that are meant to do harm, as data: what is sent, what is expected, and why.

Behind each case that is refused stands a second request, ``SMUGGLED``, in the name of another user. A server that takes
it has been tricked: the bytes of one sender became a request of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SMUGGLED_USER = "mallory"
SMUGGLED = b"PUT /usage HTTP/1.1\r\nHost: gateway\r\nUser-Token: mallory\r\nContent-Length: 10\r\n\r\n" + b'"smuggled"'


@dataclass(frozen=True)
class Case:
    """One thing that is sent.

    :param expected: the status of each answer, in order; empty: the connection ends without one.
    :param closes: whether the connection takes nothing more afterwards.
    :param kept: the records of ``/usage`` that are kept of it.
    """

    name: str
    sent: bytes
    expected: tuple[int, ...]
    why: str
    closes: bool = True
    kept: bytes = b""


def head(*lines: str | bytes, target: str = "/usage", method: str = "PUT", version: str = "HTTP/1.1") -> bytes:
    """A head with a Host and a user."""
    fields = [line.encode("latin-1") if isinstance(line, str) else line for line in lines]
    start = f"{method} {target} {version}".encode("latin-1")
    return b"\r\n".join([start, b"Host: gateway", b"User-Token: alice", *fields, b"", b""])


def refused(name: str, sent: bytes, why: str, status: int = 400) -> Case:
    """A case that gets one answer and the end of its connection, whatever stands behind it."""
    return Case(name, sent + SMUGGLED, (status,), why)


def _smuggling() -> Iterable[Case]:
    te, body = "Transfer-Encoding: chunked", b"0\r\n\r\n"
    length = f"Content-Length: {len(SMUGGLED)}"
    yield refused(
        "CL.TE", head(length, te) + body, "a length and chunks at once: RFC 9112 6.1 lets only refusal be safe"
    )
    yield refused("TE.CL", head(te, "Content-Length: 5") + body, "the same in the other order")
    yield refused("TE.TE equal", head(te, te) + body, "two codings could be read as chunked twice")
    yield refused("TE.TE odd second", head(te, "Transfer-Encoding: x") + body, "one of them may be overlooked")
    yield refused("TE.TE odd first", head("Transfer-Encoding: x", te) + body, "one of them may be overlooked")
    for number, value in enumerate(
        (
            "xchunked", "chunked, identity", "identity", "gzip, chunked", "chunked, chunked", '"chunked"', "chunked;q=1",
            "\x0bchunked", "chunked\x0c", "chu nked", "", ",chunked", "chunked,", "identity, chunked",
        )
    ):  # fmt: skip
        yield refused(
            f"TE value {number}",
            head(f"Transfer-Encoding: {value}") + body,
            f"{value!r} is not the one coding there is",
        )
    yield refused(
        "TE and identity with a length", head("Transfer-Encoding: identity", "Content-Length: 1") + b"1", "both"
    )
    yield refused("TE with a space before the colon", head("Transfer-Encoding : chunked") + body, "RFC 9112 5.1")
    yield refused("TE with a tab before the colon", head("Transfer-Encoding\t: chunked") + body, "RFC 9112 5.1")
    yield refused("TE with a leading space", head(" Transfer-Encoding: chunked") + body, "a fold, or a field")
    yield refused("TE in a fold", head("X: a", "\tTransfer-Encoding: chunked") + body, "a fold, or a field")
    yield refused("TE value in a fold", head("Transfer-Encoding:", " chunked") + body, "obs-fold is not taken")
    yield refused("TE behind a bare CR", head("X: a\rTransfer-Encoding: chunked") + body, "a bare CR ends no line")
    yield refused("TE behind a bare LF", head("X: a\nTransfer-Encoding: chunked") + body, "a bare LF ends no line")
    yield refused("TE behind a NUL", head("X: a\0", "Transfer-Encoding: chunked") + body, "a NUL is in no field")
    yield refused("TE in HTTP/1.0", head(te, version="HTTP/1.0") + body, "HTTP/1.0 has no chunks")
    yield refused("TE with an odd name", head("Transfer_Encoding\x80: chunked") + body, "a field name is a token")
    for number, value in enumerate(
        (
            "+1",
            "-1",
            "0x1",
            "1 1",
            "1,1",
            "1, 1",
            "1.0",
            "1e0",
            " ",
            "",
            "one",
            "\u00b2",
            "1\x00",
            "1_0",
            "9" * 400 + "x",
        )
    ):
        yield refused(
            f"CL value {number}", head(f"Content-Length: {value}") + b"1", f"{value[:9]!r} is not digits alone"
        )
    yield refused("CL twice, equal", head("Content-Length: 1", "Content-Length: 1") + b"1", "one of them is overlooked")
    yield refused("CL twice, unequal", head("Content-Length: 1", "Content-Length: 0") + b"1", "they say two things")
    yield refused("CL with a space before the colon", head("Content-Length : 1") + b"1", "RFC 9112 5.1")
    yield refused("CL in a fold", head("Content-Length: 1", " 2") + b"1", "obs-fold is not taken")
    yield refused(
        "CL beyond all numbers", head("Content-Length: " + "9" * 5000) + b"1", "more digits than a number has"
    )
    yield refused("CL of an exabyte", head("Content-Length: 1152921504606846976"), "more than is taken", 413)
    yield Case("CL with zeros in front", head("Content-Length: 0001") + b"1", (204,), "digits", False, b"1\n")
    yield Case("no CL and no TE", head(), (411,), "a body is announced", False)
    yield Case(
        "a body on GET",
        b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1",
        (200,),
        "read and dropped",
        False,
    )


def _chunks() -> Iterable[Case]:
    def chunks(name: str, body: bytes, why: str) -> Case:
        return refused(name, head("Transfer-Encoding: chunked") + body, why)

    yield chunks("chunk size with 0x", b"0x1\r\n1\r\n0\r\n\r\n", "hex digits alone")
    yield chunks("chunk size with a sign", b"+1\r\n1\r\n0\r\n\r\n", "hex digits alone")
    yield chunks("chunk size negative", b"-1\r\n1\r\n0\r\n\r\n", "hex digits alone")
    yield chunks("chunk size with a space in front", b" 1\r\n1\r\n0\r\n\r\n", "hex digits alone")
    yield chunks("chunk size with an underscore", b"1_1\r\n1\r\n0\r\n\r\n", "Python would read it as a number")
    yield chunks("chunk size empty", b"\r\n1\r\n0\r\n\r\n", "hex digits, at least one")
    yield chunks("chunk size behind a bare LF", b"1\n1\r\n0\r\n\r\n", "a bare LF ends no line")
    yield chunks("chunk size behind a bare CR", b"1\r1\r\n0\r\n\r\n", "a bare CR ends no line")
    yield chunks("chunk longer than it says", b"1\r\n12\r\n0\r\n\r\n", "the rest would be a size")
    yield chunks("chunk ended by LF", b"1\r\n1\n0\r\n\r\n", "CR LF ends it")
    yield chunks("chunk extension with a NUL", b"1;a=\0\r\n1\r\n0\r\n\r\n", "a control character")
    yield chunks("chunk extension with a bare LF", b"1;a\nb\r\n1\r\n0\r\n\r\n", "it could be a second line")
    yield chunks("chunk extension with a bare CR", b"1;a\rb\r\n1\r\n0\r\n\r\n", "it could be a second line")
    yield chunks("chunk extension without end", b"1;" + b"a" * 20_000, "it is bounded")
    yield chunks("trailer without a colon", b"1\r\n1\r\n0\r\nnonsense\r\n\r\n", "a trailer is a field")
    yield chunks("trailer with a bare LF", b"1\r\n1\r\n0\r\nA: b\n\n\r\n\r\n", "another server would see an end")
    yield chunks("trailer with a NUL", b"1\r\n1\r\n0\r\nA: \0\r\n\r\n", "a control character")
    yield chunks("trailer in a fold", b"1\r\n1\r\n0\r\nA: b\r\n c\r\n\r\n", "obs-fold is not taken")
    yield chunks("trailers without end", b"1\r\n1\r\n0\r\n" + b"A: bbbbbbbbbbbbbbbbbb\r\n" * 5_000, "they are bounded")
    yield chunks("a length in a trailer", b"1\r\n1\r\n0\r\nContent-Length: 9\r\n\r\n", "it comes too late")
    yield chunks("a coding in a trailer", b"1\r\n1\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", "it comes too late")
    good = head("Transfer-Encoding: chunked")
    yield Case(
        "chunk extensions", good + b'1;a;b="c d"\r\n1\r\n0;e\r\n\r\n', (204,), "they are allowed, and mean nothing",
        False, b"1\n",
    )  # fmt: skip
    yield Case(
        "trailers", good + b"1\r\n1\r\n0\r\nX-Checksum: 9\r\nUser-Token: bob\r\n\r\n", (204,),
        "they are allowed, and change nothing", False, b"1\n",
    )  # fmt: skip
    yield Case(
        "chunk sizes with zeros in front", good + b"0001\r\n1\r\n000\r\n\r\n", (204,), "hex digits", False, b"1\n"
    )
    yield Case("a chunk of an exabyte", good + b"FFFFFFFFFFFFFFF\r\n" + b" " * 1_100_000, (413,), "bounded as it comes")


def _heads() -> Iterable[Case]:
    def start(line: bytes, why: str, name: str) -> Case:
        return refused(name, line + b"\r\nHost: gateway\r\nUser-Token: alice\r\nContent-Length: 1\r\n\r\n1", why)

    for version in ("HTTP/0.9", "HTTP/1.2", "HTTP/1.10", "HTTP/01.1", "HTTP/2.0", "HTTP/3", "http/1.1", "HTTP/1.1 ",
                    "HTTP /1.1", "HTTPS/1.1", "HTTP/1,1", "HTTP/+1.1", "ICY/1.1", ""):  # fmt: skip
        yield start(
            f"PUT /usage {version}".encode(), "HTTP/1.1 and HTTP/1.0 are the versions there are", f"version {version!r}"
        )
    yield refused("HTTP/0.9", b"GET /health\r\n\r\n", "it has no version and no fields")
    yield start(b"PUT  /usage HTTP/1.1", "one space", "two spaces in the request line")
    yield start(b"PUT\t/usage HTTP/1.1", "a space, not a tab", "a tab in the request line")
    yield start(b"PUT /us age HTTP/1.1", "a target has no space", "a space in the target")
    yield start(b"PUT /us\x00age HTTP/1.1", "a target is visible ASCII", "a NUL in the target")
    yield start(b"PUT /us\x7fage HTTP/1.1", "a target is visible ASCII", "a DEL in the target")
    yield start(b"PUT /us\x85age HTTP/1.1", "a target is visible ASCII", "a C1 control in the target")
    yield start("PUT /ü HTTP/1.1".encode(), "a target is visible ASCII", "UTF-8 in the target")
    yield start(b"PUT /usage\r HTTP/1.1", "a bare CR", "a bare CR in the request line")
    yield start(b"PUT /usage HTTP/1.1\r", "a bare CR", "a second CR behind the request line")
    yield start(b"P(T /usage HTTP/1.1", "a method is a token", "a method that is no token")
    yield start(b" PUT /usage HTTP/1.1", "the line begins with the method", "a space in front of the request line")
    yield refused("bare LF everywhere", b"PUT /usage HTTP/1.1\nHost: a\nUser-Token: a\nContent-Length: 1\n\n1", "CR LF")
    rest = b"User-Token: alice\r\nContent-Length: 1\r\n\r\n1"
    line = b"PUT /usage HTTP/1.1\r\n"
    yield refused("no Host", line + rest, "RFC 9112 3.2")
    yield refused("two Hosts", line + b"Host: a\r\nHost: b\r\n" + rest, "RFC 9112 3.2")
    yield refused("two equal Hosts", line + b"Host: a\r\nHost: a\r\n" + rest, "RFC 9112 3.2")
    for number, host in enumerate(
        (b"a b", b"a/b", b"a@b", b"a:b", b"a\x80", b"a, b", b"[::1", b"a?b", b"a#b", b"a\\b")
    ):
        if host != b"a, b":
            yield refused(f"Host value {number}", line + b"Host: " + host + b"\r\n" + rest, f"{host!r} names no host")
    yield Case("HTTP/1.0 without Host", b"PUT /usage HTTP/1.0\r\n" + rest, (204,), "it needs none", True, b"1\n")
    yield Case("an IPv6 Host", line + b"Host: [::1]:80\r\n" + rest, (204,), "it is one", False, b"1\n")
    yield Case("an empty Host", line + b"Host:\r\n" + rest, (204,), "RFC 9112 3.2 allows it", False, b"1\n")
    yield refused("a field without a name", head(": a", "Content-Length: 1") + b"1", "a name is a token")
    yield refused("a field without a colon", head("nonsense", "Content-Length: 1") + b"1", "a field has one")
    yield refused("a space in a field name", head("A B: c", "Content-Length: 1") + b"1", "a name is a token")
    yield refused("a space before a colon", head("Hos : c", "Content-Length: 1") + b"1", "RFC 9112 5.1")
    yield refused(
        "an escape sequence in a field", head("A: \x1b[2J", "Content-Length: 1") + b"1", "a control character"
    )
    yield refused("a field on two lines", head("A: b", " c", "Content-Length: 1") + b"1", "obs-fold is not taken")
    yield refused("a field name of UTF-8", head("Ä: b", "Content-Length: 1") + b"1", "a name is a token")
    yield refused("a flood of fields", head(*["A: b"] * 300, "Content-Length: 1") + b"1", "200 are taken", 431)
    yield refused("a flood of empty fields", head(*["A:"] * 5_000), "200 are taken", 431)
    yield refused("a large field", head("A: " + "b" * 40_000), "32 KiB are taken", 431)
    yield refused("a field without end", head("A: b")[:-4] + b"x" * 40_000, "32 KiB are taken", 431)
    yield refused("a long target", head(target="/" + "a" * 40_000), "32 KiB are taken", 431)
    yield refused("a flood of empty lines", b"\r\n" * 1_000, "one is passed over, as the RFC has it")
    yield refused("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", "not HTTP")
    yield refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/1")
    yield refused("SOCKS", b"\x05\x01\x00\r\n\r\n", "not HTTP")
    yield Case("behind Connection: close", head("Connection: close", "Content-Length: 1") + b"1" + SMUGGLED, (204,),
               "what follows the last request is no request", True, b"1\n")  # fmt: skip
    yield Case("behind HTTP/1.0", head("Content-Length: 1", version="HTTP/1.0") + b"1" + SMUGGLED, (204,),
               "HTTP/1.0 has one request", True, b"1\n")  # fmt: skip
    yield Case("an upgrade", head("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 1") + b"1", (204,),
               "passed over", False, b"1\n")  # fmt: skip


def _targets() -> Iterable[Case]:
    def target(text: str, status: int, why: str) -> Case:
        kept = b"1\n" if status == 204 else b""
        return Case(f"target {text[:30]!r}", head("Content-Length: 1", target=text) + b"1", (status,), why, False, kept)

    for text in ("/usage/..", "/../usage", "/usage/../error", "/./usage", "//usage", "/usage/", "/usage%2f", "/usage%00",
                 "/usage;a", "/%2e%2e/usage", "/..%2f..%2fetc/passwd", "/usage\\", "/usage%0d%0aX:y", "/USAGE", "*",
                 "usage", "/_status", "/metrics", "/admin", "/..;/usage", "/%c0%ae%c0%ae/usage", "/" + "a" * 10_000,
                 "http://", "ftp://a/usage", "file:///usage", "/%", "/%zz"):  # fmt: skip
        yield target(text, 404, "paths are exact")
    yield target("/usage?" + "a=b&" * 2_000, 204, "a query means nothing here")
    yield target("http://evil.example/usage", 204, "a proxy may send a whole URL")
    yield target("/%75sage", 204, "the same path by RFC 3986")
    yield target("/specimen", 400, "no uri")
    yield target("/specimen?uri=" + "%41" * 20_000, 431, "32 KiB are taken")
    for method, status in (
        ("TRACE", 405),
        ("CONNECT", 405),
        ("DELETE", 405),
        ("PRI", 400),
        ("put", 405),
        ("X" * 3000, 405),
    ):
        yield Case(
            f"method {method[:9]}",
            head("Content-Length: 1", method=method) + b"1",
            (status,),
            "PUT and POST",
            status == 400,
        )


def _mended(case: Case) -> Case:
    """A refusal of the head by its size closes, whatever the target was."""
    return Case(case.name, case.sent, case.expected, case.why, case.closes or 431 in case.expected, case.kept)


CASES = [_mended(case) for group in (_smuggling(), _chunks(), _heads(), _targets()) for case in group]
