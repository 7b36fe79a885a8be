"""Signatures: the ones botocore makes of the whole request, and the ones AWS has published."""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from unittest import mock
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence
from hypothesis import example, given
from hypothesis import strategies as st

from lf6gateway.stores.signing import EMPTY_SHA256, Keys, encode_key, encode_query, presign, sign

ACCESS = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBYaD+/=example"
HOSTS = ["https://insights.s3.eu-central-1.amazonaws.com", "http://127.0.0.1:9000/insights"]
ODD_KEYS = [
    "plain",
    "with space",
    "a+b",
    "100%",
    "already%20escaped",
    "tilde~",
    "ünï/コード/🎈",
    "a//b",
    "folder/",
    "trailing dot.",
    "dots/../and/./dots",
    "!*'();:@&=$,?#[]",
    "-_.",
]
Query = list[tuple[str, str]]
QUERIES: list[Query] = [
    [],
    [("uploads", "")],
    [("partNumber", "7"), ("uploadId", "VXBsb2Fk/SUQ+x=~.-_")],
    [("continuation-token", "1ueGcxLPRx1Tr+XYExHnhbYLgveDs2J/wm36Hy4vbOwM="), ("list-type", "2"), ("prefix", "a b/ü+")],
]


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    with mock.patch("botocore.auth.get_current_datetime", return_value=datetime(2013, 5, 24)):
        yield


def by_botocore(
    keys: Keys, method: str, host: str, key: str, query: Query, headers: dict[str, str], body: bytes
) -> AWSRequest:
    """The whole request in botocore's own hands: its escapes, its hash of the real body, its signature."""
    url = f"{host}/{percent_encode(key, safe='/~')}"
    if query:
        url += "?" + percent_encode_sequence(query)
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    S3SigV4Auth(Credentials(keys.access, keys.secret, keys.token), "s3", "eu-central-1").add_auth(request)
    return request


def by_us(
    keys: Keys, method: str, host: str, key: str, query: Query, headers: dict[str, str], body: bytes
) -> dict[str, str]:
    url = f"{host}/{encode_key(key)}" + (f"?{encode_query(query)}" if query else "")
    return sign(keys, "eu-central-1", method, url, headers, sha256(body).hexdigest())


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: "&".join(name for name, _ in query) or "none")
@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("HEAD", b""), ("PUT", b"\x00body\xff"), ("POST", b"<a/>")])
def test_the_signature_is_the_one_botocore_makes(
    method: str, body: bytes, query: Query, host: str, token: str | None
) -> None:
    keys = Keys(ACCESS, SECRET, token)
    headers = {"Content-Type": "application/gzip", "x-amz-meta-uri": "a  b", "If-Match": '"0123"'}
    theirs = by_botocore(keys, method, host, "usage/2026/ä b", query, headers, body)
    ours = by_us(keys, method, host, "usage/2026/ä b", query, headers, body)
    assert ours == {str(name): str(value) for name, value in theirs.headers.items()}
    assert ours["X-Amz-Content-SHA256"] == sha256(body).hexdigest()
    assert ("X-Amz-Security-Token" in ours) == (token is not None)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_is_signed_as_botocore_signs_it(key: str, host: str) -> None:
    keys = Keys(ACCESS, SECRET)
    theirs = by_botocore(keys, "PUT", host, key, [], {}, b"odd")
    assert by_us(keys, "PUT", host, key, [], {}, b"odd")["Authorization"] == theirs.headers["Authorization"]


@pytest.mark.parametrize(
    ("path", "headers", "signature"),
    [
        ("test.txt", {"Range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("?lifecycle=", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["get object", "get bucket lifecycle", "list objects"],
)
def test_the_signature_is_the_one_aws_has_published(path: str, headers: dict[str, str], signature: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    url = f"https://examplebucket.s3.amazonaws.com/{path}"
    signed = sign(Keys(ACCESS, SECRET), "us-east-1", "GET", url, headers, EMPTY_SHA256)
    names = ";".join(sorted(["host", "x-amz-content-sha256", "x-amz-date", *map(str.lower, headers)]))
    scope = "20130524/us-east-1/s3/aws4_request"
    assert signed["X-Amz-Date"] == "20130524T000000Z"
    assert signed["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"
    )


def test_the_given_headers_stay_as_they_are() -> None:
    headers = {"Content-Type": "text/plain"}
    sign(Keys(ACCESS, SECRET, TOKEN), "us-east-1", "PUT", HOSTS[0] + "/a", headers, EMPTY_SHA256)
    assert headers == {"Content-Type": "text/plain"}


def test_an_empty_body_has_the_known_hash() -> None:
    assert sha256(b"").hexdigest() == EMPTY_SHA256


def test_keys_are_never_shown() -> None:
    keys = Keys(ACCESS, SECRET, TOKEN)
    for shown in (repr(keys), str(keys), f"{keys}", f"{[keys]}", "%r" % (keys,)):  # noqa: UP031
        assert ACCESS not in shown
        assert SECRET not in shown
        assert TOKEN not in shown


UNRESERVED = set(string.ascii_letters + string.digits + "-_.~")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
"""Any text but halves of surrogate pairs, which have no bytes."""


@given(TEXT)
@example("100%/ü +~//.")
def test_an_escaped_key_reads_back_and_holds_only_plain_characters(key: str) -> None:
    escaped = encode_key(key)
    assert unquote(escaped) == key
    assert set(escaped) <= UNRESERVED | set("%/")
    assert escaped.count("%") == sum(1 for byte in key.encode() if chr(byte) not in UNRESERVED | {"/"})
    assert escaped == percent_encode(key, safe="/~")


@given(st.lists(st.tuples(TEXT, TEXT)))
@example([("uploads", "")])
@example([("continuation-token", "a+b/c=&d")])
def test_an_escaped_query_reads_back_and_holds_only_plain_characters(query: Query) -> None:
    escaped = encode_query(query)
    assert parse_qsl(escaped, keep_blank_values=True) == query
    parts = [part.split("=") for part in escaped.split("&")] if query else []
    assert [(unquote(name), unquote(value)) for name, value in parts] == query
    assert set(escaped) <= UNRESERVED | set("%=&")


def test_a_link_is_signed_as_botocore_signs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: moment)
    keys = Keys("AKEXAMPLE", "secret", "session")
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token,
        endpoint_url="http://s3.example:9000",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    params = {"Bucket": "b", "Key": "a b/ü+&.png", "ResponseContentDisposition": "attachment"}
    wanted = client.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    path = encode_key("a b/ü+&.png")
    made = presign(keys, "eu-central-1", f"http://s3.example:9000/b/{path}?response-content-disposition=attachment", 60)
    assert urlsplit(made)[:3] == urlsplit(wanted)[:3]
    assert dict(parse_qsl(urlsplit(made).query)) == dict(parse_qsl(urlsplit(wanted).query))
    assert "secret" not in made
