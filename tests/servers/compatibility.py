"""Measures what each S3 server supports, by raw signed requests, and writes the table of docs/s3-compatibility.md.

    python -m tests.servers.compatibility              all that are installed
    python -m tests.servers.compatibility --print      to standard output, and nothing else

What stands between the two marks in that file is replaced; the text around it is written by hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from lf6gateway.stores.answers import text
from lf6gateway.stores.s3_errors import parse_error
from lf6gateway.stores.signing import Keys, encode_key, encode_query, sign
from tests.servers.install import RECIPES
from tests.servers.running import Server, Unavailable

DOC = Path(__file__).resolve().parents[2] / "docs" / "s3-compatibility.md"
BEGIN, END = "<!-- measured -->", "<!-- end of what is measured -->"
WRONG = '"00000000000000000000000000000000"'
MIB = 1024 * 1024
RACERS = 8


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> str:
        """For a cell of the table."""
        code = parse_error(self.body)[0]
        return f"{self.status}" + (f" {code}" if code else "")

    @property
    def good(self) -> bool:
        return self.status < 300 and not parse_error(self.body)[0]


class Client:
    """Sends what it is told to, right or wrong."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(
        self,
        method: str,
        key: str,
        data: bytes = b"",
        *,
        query: list[tuple[str, str]] | None = None,
        secret: str | None = None,
        region: str = "us-east-1",
        payload: bytes | None = None,
        **headers: str,
    ) -> Got:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self._server.url}/{self._server.bucket}/{encode_key(key)}"
        if query:
            url += "?" + encode_query(query)
        digest = hashlib.sha256(data if payload is None else payload).hexdigest()
        signed = sign(Keys(self._server.access, secret or self._server.secret), region, method, url, named, digest)
        if method in ("PUT", "POST"):
            signed.setdefault("Content-Type", "application/octet-stream")
        request = urllib.request.Request(
            url, data=data if method in ("PUT", "POST") else None, method=method, headers=signed
        )
        try:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return Got(answer.status, _lower(answer.headers), answer.read())
            except urllib.error.HTTPError as error:
                return Got(error.code, _lower(error.headers), error.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            return Got(999, {}, f"<Error><Code>{type(error).__name__}</Code></Error>".encode())

    def begin(self, key: str) -> str:
        return text(self("POST", key, query=[("uploads", "")]).body, "UploadId")

    def part(self, key: str, upload: str, number: int, data: bytes = b"", **headers: str) -> Got:
        return self("PUT", key, data, query=[("partNumber", str(number)), ("uploadId", upload)], **headers)

    def complete(self, key: str, upload: str, etags: list[str], **headers: str) -> Got:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
        )
        data = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return self("POST", key, data, query=[("uploadId", upload)], **headers)

    def in_one_part(self, key: str, **headers: str) -> Got:
        upload = self.begin(key)
        etag = self.part(key, upload, 1, b"part").headers.get("etag", "")
        return self.complete(key, upload, [etag], **headers)


def _lower(headers: object) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}  # type: ignore[attr-defined]


def etag_of(client: Client, key: str) -> str:
    return client("HEAD", key).headers.get("etag", "")


# Each of these tries one thing and says in a few words what came of it.


def wrong_secret(client: Client) -> str:
    got = client("PUT", "a", b"x", secret="wrong")
    return "taken" if got.good else got.said


def wrong_region(client: Client) -> str:
    got = client("PUT", "a", b"x", region="eu-nowhere-1")
    return "taken" if got.good else got.said


def wrong_payload_hash(client: Client) -> str:
    got = client("PUT", "a", b"x", payload=b"y")
    return "taken" if got.good else got.said


def checksum(header: str, digest: Callable[[bytes], bytes]) -> Callable[[Client], str]:
    def tried(client: Client) -> str:
        right = client("PUT", "sum", b"data", **{header: base64.b64encode(digest(b"data")).decode()})
        wrong = client("PUT", "sum", b"data", **{header: base64.b64encode(digest(b"other")).decode()})
        if not right.good:
            return f"not taken ({right.said})"
        return "taken, not verified" if wrong.good else f"verified ({wrong.said})"

    return tried


def part_md5(client: Client) -> str:
    upload = client.begin("sum")
    digests = [base64.b64encode(hashlib.md5(data).digest()).decode() for data in (b"data", b"other")]
    right, wrong = (client.part("sum", upload, 1, b"data", Content_MD5=digest) for digest in digests)
    client("DELETE", "sum", query=[("uploadId", upload)])
    if not right.good:
        return f"not taken ({right.said})"
    return "taken, not verified" if wrong.good else f"verified ({wrong.said})"


def put_if_absent(client: Client) -> str:
    client("PUT", "absent", b"1")
    got = client("PUT", "absent", b"2", If_None_Match="*")
    return "ignored" if got.good else f"honoured ({got.said})" if got.status in (409, 412) else got.said


def racers(client: Client) -> str:
    """How many of several writers at once are told that they were first; one is right."""
    worst = 0
    for number in range(5):
        with ThreadPoolExecutor(RACERS) as pool:
            attempts = [
                pool.submit(client, "PUT", f"race{number}", b"%d" % racer, If_None_Match="*") for racer in range(RACERS)
            ]
            worst = max(worst, sum(attempt.result().good for attempt in attempts))
    return f"{worst} of {RACERS} win" + (" (atomic)" if worst == 1 else "")


def put_if_match(client: Client) -> str:
    client("PUT", "match", b"1")
    etag = etag_of(client, "match")
    wrong, right = client("PUT", "match", b"2", If_Match=WRONG), client("PUT", "match", b"2", If_Match=etag)
    if wrong.good:
        return "ignored"
    return f"honoured ({wrong.said})" if right.good else f"refused ({right.said})"


def complete_if_absent(client: Client) -> str:
    client("PUT", "whole", b"1")
    got = client.in_one_part("whole", If_None_Match="*")
    return "ignored" if got.good else f"honoured ({got.said})" if got.status in (409, 412) else f"refused ({got.said})"


def complete_if_match(client: Client) -> str:
    client("PUT", "whole", b"1")
    etag = etag_of(client, "whole")
    wrong, right = client.in_one_part("whole", If_Match=WRONG), client.in_one_part("whole", If_Match=etag)
    if wrong.good:
        return "ignored"
    return f"honoured ({wrong.said})" if right.good else f"refused ({right.said})"


def part_copy(client: Client) -> str:
    client("PUT", "base", b"x" * (5 * MIB))
    upload = client.begin("base")
    copied = client.part("base", upload, 1, x_amz_copy_source=f"/{client._server.bucket}/base")
    etag = text(copied.body, "ETag")
    if not copied.good:
        return f"refused ({copied.said})"
    if not etag:
        return "no ETag in the answer"
    tail = client.part("base", upload, 2, b"tail").headers.get("etag", "")
    done = client.complete("base", upload, [etag, tail])
    whole = client("GET", "base").body
    return "works" if done.good and whole == b"x" * (5 * MIB) + b"tail" else f"wrong ({done.said})"


def copy_if_match(client: Client) -> str:
    client("PUT", "source", b"1")
    upload = client.begin("source")
    source = f"/{client._server.bucket}/source"
    stale = client.part("source", upload, 1, x_amz_copy_source=source, x_amz_copy_source_if_match=WRONG)
    client("DELETE", "source", query=[("uploadId", upload)])
    if stale.status in (400, 404, 405, 501):
        return f"refused ({stale.said})"
    return "ignored" if stale.good else f"honoured ({stale.said})"


def get_if_match(client: Client) -> str:
    client("PUT", "read", b"1")
    etag = etag_of(client, "read")
    wrong, right = client("GET", "read", If_Match=WRONG), client("GET", "read", If_Match=etag)
    return "ignored" if wrong.good else f"honoured ({wrong.said})" if right.good else f"refused ({right.said})"


def small_part(client: Client) -> str:
    upload = client.begin("small")
    etags = [client.part("small", upload, number, b"x").headers.get("etag", "") for number in (1, 2)]
    got = client.complete("small", upload, etags)
    return "taken" if got.good else f"refused ({got.said})"


def completed_etag(client: Client) -> str:
    got = client.in_one_part("told")
    told, shown = text(got.body, "ETag"), etag_of(client, "told")
    return "as HEAD shows it" if told and told == shown else "missing" if not told else "another than HEAD's"


def uploads_listed(client: Client) -> str:
    upload = client.begin("left")
    got = client("GET", "", query=[("prefix", "left"), ("uploads", "")])
    aborted = client("DELETE", "left", query=[("uploadId", upload)])
    listed = "listed" if upload.encode() in got.body else f"not listed ({got.said})"
    return f"{listed}, {'aborted' if aborted.good else f'not aborted ({aborted.said})'}"


def odd_keys(client: Client) -> str:
    keys = [
        "odd/a b",
        "odd/a+b",
        "odd/a%20b",
        "odd/ä",
        "odd/~",
        "odd/(x)=&'!*",
        "odd/\U0001f388",
        "odd/a..b",
        "odd/a//b",
    ]
    bad = []
    for key in keys:
        put = client("PUT", key, key.encode())
        if not put.good or client("GET", key).body != key.encode():
            bad.append(key.removeprefix("odd/"))
    return "all kept apart" if not bad else "not " + ", ".join(f"`{key}`" for key in bad)


def long_key(client: Client) -> str:
    found = []
    for length in (1024, 1025):
        key = ("k" * 200 + "/") * 5
        key = (key + "k" * 200)[:length]
        got = client("PUT", key, b"x")
        found.append(f"{length}: {'taken' if got.good else got.said}")
    return ", ".join(found)


def metadata(client: Client) -> str:
    taken = [
        length for length in (100, 256, 257, 1000, 2000) if client("PUT", "meta", b"x", x_amz_meta_a="v" * length).good
    ]
    client("PUT", "meta", b"x", x_amz_meta_a="a b%C3%BC", x_amz_meta_other_name="1")
    shown = client("HEAD", "meta").headers
    same = shown.get("x-amz-meta-a") == "a b%C3%BC" and shown.get("x-amz-meta-other-name") == "1"
    return f"values to {max(taken, default=0):,} bytes, " + ("kept" if same else "changed")


def cut_body(client: Client) -> str:
    """What is there after an upload that broke off in the middle of its body."""
    client("PUT", "cut", b"before")
    url = f"{client._server.url}/{client._server.bucket}/cut"
    data = b"y" * (2 * MIB)
    headers = sign(
        Keys(client._server.access, client._server.secret),
        "us-east-1",
        "PUT",
        url,
        {},
        hashlib.sha256(data).hexdigest(),
    )

    async def half() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", client._server.port)
        lines = [f"PUT /{client._server.bucket}/cut HTTP/1.1", f"Host: 127.0.0.1:{client._server.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {len(data)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + data[:MIB])
        await writer.drain()
        writer.close()

    asyncio.run(half())
    for _ in range(20):
        if client("GET", "cut").body != b"before":
            return "the object is lost"
        time.sleep(0.05)
    return "the object stays"


def half_written(client: Client) -> str:
    """Whether a reader can see an object while it is being written."""
    client("PUT", "seen", b"before")
    seen: set[bytes] = set()
    data = b"z" * (16 * MIB)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(client, "PUT", "seen", data)
        while not writing.done():
            seen.add(client("GET", "seen").body)
    return "whole or not at all" if seen <= {b"before", data} else "half-written ones are shown"


FEATURES: dict[str, Callable[[Client], str]] = {
    "wrong secret": wrong_secret,
    "wrong region": wrong_region,
    "wrong payload hash": wrong_payload_hash,
    "`x-amz-checksum-sha256`": checksum("x_amz_checksum_sha256", lambda data: hashlib.sha256(data).digest()),
    "`x-amz-checksum-crc32c`": checksum(
        "x_amz_checksum_crc32c", lambda data: google_crc32c.value(data).to_bytes(4, "big")
    ),
    "`Content-MD5`": checksum("Content_MD5", lambda data: hashlib.md5(data).digest()),
    "`Content-MD5` of a part": part_md5,
    "PutObject `If-None-Match: *`": put_if_absent,
    "the same, eight at once": racers,
    "PutObject `If-Match`": put_if_match,
    "Complete `If-None-Match: *`": complete_if_absent,
    "Complete `If-Match`": complete_if_match,
    "UploadPartCopy, then a tail": part_copy,
    "`x-amz-copy-source-if-match`": copy_if_match,
    "GetObject `If-Match`": get_if_match,
    "first part below 5 MiB": small_part,
    "ETag of a completed upload": completed_etag,
    "left-over uploads": uploads_listed,
    "odd keys": odd_keys,
    "long keys": long_key,
    "metadata": metadata,
    "body cut in the middle": cut_body,
    "object read while written": half_written,
}


def measured(name: str) -> tuple[str, dict[str, str]]:
    """The heading of a server's column, and its cells.

    :raises Unavailable: it is not installed."""
    with tempfile.TemporaryDirectory(prefix="lf6gateway-s3-") as folder:
        server = Server(name, Path(folder) / name)
        try:
            client = Client(server)
            return f"{name} {server.version}", {feature: tried(client) for feature, tried in FEATURES.items()}
        finally:
            server.stop()


def table(columns: dict[str, dict[str, str]]) -> str:
    lines = ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    lines += [f"| {one} | " + " | ".join(cells[one] for cells in columns.values()) + " |" for one in FEATURES]
    return "\n".join(lines)


def main() -> None:
    columns: dict[str, dict[str, str]] = {}
    left_out = []
    for name in ("moto", *RECIPES):
        try:
            heading, columns_of = measured(name)
            columns[heading] = columns_of
        except Unavailable as reason:
            left_out.append(f"{name}: {reason}")
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    if "--print" in sys.argv:
        print(table(columns))
        return
    before, _, rest = DOC.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOC.write_text(f"{before}{BEGIN}\n\n{table(columns)}\n\n{END}{after}")
    print(f"{len(columns)} servers measured, {DOC.name} written")


if __name__ == "__main__":
    main()
