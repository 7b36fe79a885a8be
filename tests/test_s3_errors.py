"""What an answer of S3 means: every code, every status, and bodies that are none of S3's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.stores.s3_errors import LONGEST, classify, parse_error
from lf6gateway.values.failure import OPERATOR, WHOLE_STORE, Kind, StoreError
from lf6gateway.values.retry import LONGEST_ASKED, RetryPolicy, pause

CODES = {
    Kind.CONFLICT: ["PreconditionFailed", "ConditionalRequestConflict", "OperationAborted"],
    Kind.GONE: ["NoSuchKey", "NoSuchUpload"],
    Kind.SLOW_DOWN: [
        "SlowDown",
        "TooManyRequests",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "BandwidthLimitExceeded",
    ],
    Kind.DAMAGED: ["BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"],
    Kind.TRANSIENT: ["IncompleteBody", "RequestTimeout", "InternalError", "ServiceUnavailable", "TemporaryRedirect"],
    Kind.SKEWED: ["RequestTimeTooSkewed"],
    Kind.EXPIRED: ["ExpiredToken", "TokenRefreshRequired", "InvalidToken"],
    Kind.REGION: ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"],
    Kind.NO_BUCKET: ["NoSuchBucket"],
    Kind.DENIED: ["AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem"],
    Kind.UNSUPPORTED: ["NotImplemented"],
}
STATUSES = {
    300: Kind.REFUSED,
    301: Kind.REGION,
    304: Kind.REFUSED,
    307: Kind.TRANSIENT,
    308: Kind.REGION,
    400: Kind.REFUSED,
    403: Kind.DENIED,
    404: Kind.GONE,
    405: Kind.REFUSED,
    408: Kind.TRANSIENT,
    409: Kind.CONFLICT,
    411: Kind.REFUSED,
    412: Kind.CONFLICT,
    413: Kind.REFUSED,
    416: Kind.REFUSED,
    429: Kind.SLOW_DOWN,
    500: Kind.TRANSIENT,
    501: Kind.UNSUPPORTED,
    502: Kind.TRANSIENT,
    503: Kind.SLOW_DOWN,
    504: Kind.TRANSIENT,
    507: Kind.TRANSIENT,
    599: Kind.TRANSIENT,
}
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def error_xml(code: str, message: str = "", region: str = "", namespace: str = "") -> bytes:
    extra = f"<Region>{region}</Region>" if region else ""
    xmlns = f' xmlns="{namespace}"' if namespace else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error{xmlns}><Code>{code}</Code><Message>{message}</Message>{extra}'
        "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    ).encode()


def told(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, action: str = "s3:PutObject"
) -> StoreError:
    return classify(
        status=status,
        headers=headers or {},
        body=body,
        what="PUT s3://insights/a",
        action=action,
        bucket="insights",
        region="us-east-1",
    )


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 500, 503])
@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in CODES.items() for code in codes])
def test_a_code_tells_the_kind_whatever_the_status(kind: Kind, code: str, status: int) -> None:
    assert told(status, error_xml(code)).kind is kind
    assert told(status, error_xml(code, namespace=NAMESPACE)).kind is kind


@pytest.mark.parametrize("body", [b"", b"<html><body><h1>Sorry</h1></body></html>", b"\x00\xff", error_xml("Unheard")])
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_tells_the_kind_where_the_code_does_not(status: int, kind: Kind, body: bytes) -> None:
    expected = Kind.TRANSIENT if status == 503 and b"Unheard" in body else kind
    error = told(status, body)
    assert error.kind is expected
    assert f"HTTP {status}" in error.detail
    assert error.what == "PUT s3://insights/a"


@pytest.mark.parametrize("status", [*range(400, 500)])
def test_what_was_refused_changed_nothing(status: int) -> None:
    error = told(status)
    assert error.applied is (None if error.kind is Kind.TRANSIENT else False)


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in CODES.items() for code in codes])
def test_a_refusal_changed_nothing_and_a_failure_may_have(kind: Kind, code: str) -> None:
    assert told(400, error_xml(code)).applied is (None if kind is Kind.TRANSIENT else False)
    assert told(500, error_xml(code)).applied is None
    assert told(503, error_xml(code)).applied is None


@pytest.mark.parametrize("status", [301, 308])
def test_a_redirect_changed_nothing(status: int) -> None:
    assert told(status).applied is False


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<",
        b"<Error>",
        b"<Error><Code>AccessDenied</Code>",
        b"<!DOCTYPE html><html><br><p>Bad gateway</html>",
        b"\x1f\x8b\x08\x00garbage",
        b"\xff\xfe" + "<Error/>".encode("utf-16-le")[:-1],
        b"{}",
        b'{"Code": "AccessDenied"}',
        b"<a/><b/>",
        b"<a>&nosuch;</a>",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Error><Code>&x;</Code></Error>',
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
        b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">'
        b'<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">'
        b'<!ENTITY g "&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;">]><Error><Code>&g;</Code></Error>',
    ],
)
def test_a_body_that_is_not_s3s_is_no_obstacle(body: bytes) -> None:
    error = told(502, body)
    assert error.kind is Kind.TRANSIENT
    assert len(error.detail) < 600
    assert parse_error(body)[2] == ""


@pytest.mark.parametrize("encoding", ["nonsense", "utf-32", "shift_jis", "idna"])
def test_a_body_in_an_encoding_unheard_of_is_no_obstacle(encoding: str) -> None:
    assert told(502, f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()).kind is Kind.TRANSIENT


@given(st.binary())
def test_any_bytes_are_no_obstacle(body: bytes) -> None:
    assert told(500, body).kind is Kind.TRANSIENT


@pytest.mark.parametrize("blank", [b"\n", b"  \r\n\t"])
def test_blanks_before_the_answer_are_no_obstacle(blank: bytes) -> None:
    """A store that works long sends them to keep the connection."""
    assert told(500, blank + error_xml("SlowDown")).kind is Kind.SLOW_DOWN


def test_a_huge_body_is_looked_at_only_at_its_beginning() -> None:
    padded = error_xml("AccessDenied") + b" " * (LONGEST - 500)
    assert told(400, padded).kind is Kind.DENIED
    assert told(400, error_xml("AccessDenied", "x" * LONGEST)).kind is Kind.REFUSED
    assert told(502, b"x" * (4 << 20)).kind is Kind.TRANSIENT


def test_a_long_message_is_cut() -> None:
    error = told(400, error_xml("InvalidRequest", "m" * 30_000))
    assert error.kind is Kind.REFUSED
    assert error.detail == "HTTP 400 InvalidRequest " + "m" * 500


@pytest.mark.parametrize("namespace", ["", NAMESPACE, "urn:other"])
def test_code_message_and_region_are_read_with_and_without_a_namespace(namespace: str) -> None:
    body = error_xml("PermanentRedirect", "go &amp; ask", " eu-central-1\n", namespace)
    assert parse_error(body) == ("PermanentRedirect", "go & ask", "eu-central-1")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        ("120", 120.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("1e9", None),
        ("inf", None),
        ("nan", None),
        ("²", None),
        ("٣", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_the_wait_that_was_asked_for_is_read_where_it_is_a_number(header: str | None, seconds: float | None) -> None:
    headers = {} if header is None else {"retry-after": header}
    assert told(503, error_xml("SlowDown"), headers).retry_after == seconds


def test_a_wait_without_end_is_not_taken_at_its_word() -> None:
    error = told(503, error_xml("SlowDown"), {"retry-after": "9" * 400})
    seconds = pause(error.kind, 1, RetryPolicy(base=0.5), lambda: 0.5, error.retry_after)
    assert seconds == LONGEST_ASKED + 0.25


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:ListBucket"])
@pytest.mark.parametrize("body", [b"", error_xml("AccessDenied")])
def test_what_is_denied_names_the_action_and_the_bucket(action: str, body: bytes) -> None:
    error = told(403, body, action=action)
    assert f"allow {action} on bucket insights" in error.remedy
    assert error.remedy in str(error)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_a_wrong_pair_of_keys_names_the_settings(code: str) -> None:
    remedy = told(403, error_xml(code)).remedy
    assert "aws.access_key_id" in remedy
    assert "aws.secret_access_key" in remedy


def test_a_missing_bucket_is_named() -> None:
    assert "create bucket insights" in told(404, error_xml("NoSuchBucket")).remedy


@pytest.mark.parametrize(
    ("headers", "region", "remedy"),
    [
        ({"x-amz-bucket-region": "eu-central-1"}, "", "set aws.region (now us-east-1) to eu-central-1"),
        ({}, "eu-west-3", "set aws.region (now us-east-1) to eu-west-3"),
        ({"x-amz-bucket-region": "eu-central-1"}, "eu-west-3", "set aws.region (now us-east-1) to eu-central-1"),
        ({}, "", "set aws.region (now us-east-1) to the bucket's region"),
        ({"x-amz-bucket-region": "us-east-1"}, "", "set aws.region (now us-east-1) to the bucket's region"),
    ],
)
def test_a_wrong_region_names_the_right_one(headers: dict[str, str], region: str, remedy: str) -> None:
    for status, code in ((301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")):
        error = told(status, error_xml(code, region=region), headers)
        assert error.kind is Kind.REGION
        assert error.remedy == remedy


def test_a_redirect_without_a_body_names_the_region_of_its_header() -> None:
    assert told(301, b"", {"x-amz-bucket-region": "eu-north-1"}).remedy.endswith("to eu-north-1")


def test_a_wrong_clock_and_an_old_token_say_what_to_do() -> None:
    assert "clock" in told(403, error_xml("RequestTimeTooSkewed")).remedy
    assert "token" in told(400, error_xml("ExpiredToken")).remedy


def test_all_that_waits_for_an_operator_has_a_remedy_and_nothing_else_has() -> None:
    for kind, codes in CODES.items():
        for code in codes:
            assert bool(told(400, error_xml(code)).remedy) == (kind in OPERATOR), code
    assert told(400).remedy
    assert {Kind.TRANSIENT, Kind.SLOW_DOWN} <= WHOLE_STORE


def test_a_bare_400_from_another_region_is_told_as_that() -> None:
    error = told(400, b"", {"x-amz-bucket-region": "eu-north-1"})
    assert error.kind is Kind.REGION
    assert error.remedy.endswith("to eu-north-1")
    assert told(400, b"", {"x-amz-bucket-region": "us-east-1"}).kind is Kind.REFUSED
    assert told(400, error_xml("InvalidRequest"), {"x-amz-bucket-region": "eu-north-1"}).kind is Kind.REFUSED


def test_what_goes_on_and_what_waits_for_an_operator() -> None:
    """The first are tried again soon; of the others the operator is told, and they are tried again slowly."""
    soon = {Kind.CONFLICT, Kind.GONE, Kind.TRANSIENT, Kind.SLOW_DOWN, Kind.DAMAGED, Kind.UNSUPPORTED}
    assert set(Kind) - soon == set(OPERATOR)
    policy = RetryPolicy(base=0.5, cap=300.0)
    for kind in Kind:
        first = pause(kind, 1, policy, lambda: 0.999)
        assert first <= 0.5 if kind in soon else first >= 30.0
