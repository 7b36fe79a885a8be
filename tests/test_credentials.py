"""Where keys come from: the configuration, or AWS's chain, which never finds anything of the machine here."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_twisted
from botocore.utils import ContainerMetadataFetcher
from twisted.internet import threads
from twisted.internet.defer import Deferred, execute

from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.signing import Keys
from lf6gateway.values.failure import Kind, StoreError
from tests.deferreds import result_of, started, unfired

T = TypeVar("T")
ABSENT = "absent"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine is found: no variable, no file, no metadata service."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / ABSENT))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / ABSENT))
    monkeypatch.setenv("BOTO_CONFIG", str(tmp_path / ABSENT))
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)


class Asked:
    """An offload that counts, works at once, and knows whether work is being done on its behalf."""

    def __init__(self) -> None:
        self.count = 0
        self.inside = False

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        self.count += 1
        self.inside = True
        try:
            return execute(work)
        finally:
            self.inside = False


class Seconds:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(
    *, static: Keys | None = None, profile: str | None = None, offload: Any = None, seconds: Seconds | None = None
) -> CredentialSource:
    return CredentialSource(static=static, profile=profile, offload=offload or Asked(), seconds=seconds or Seconds())


def give(monkeypatch: pytest.MonkeyPatch, access: str, secret: str = "secret", token: str | None = None) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if token is not None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)


class Metadata:
    """A metadata service on this machine that plays its answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.requests: list[tuple[str, str, int]] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                token = self.headers.get("Authorization", "")
                served.requests.append((self.path, token, threading.get_ident()))
                status, content = served.answers.pop(0) if len(served.answers) > 1 else served.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    service = Metadata()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/role/credentials")
    yield service
    service.stop()


def temporary(name: str, lifetime: timedelta = timedelta(hours=6)) -> tuple[int, bytes]:
    expiration = (datetime.now(UTC) + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {
        "AccessKeyId": f"ASIA{name}",
        "SecretAccessKey": f"secret of {name}",
        "Token": f"token of {name}",
        "Expiration": expiration,
    }
    return 200, json.dumps(fields).encode()


def keys_of(name: str) -> Keys:
    return Keys(f"ASIA{name}", f"secret of {name}", f"token of {name}")


def none_found(source: CredentialSource) -> StoreError:
    with pytest.raises(StoreError) as told:
        result_of(source.keys())
    assert told.value.kind is Kind.NO_CREDENTIALS
    assert told.value.applied is False
    for way in ("aws.access_key_id", "AWS_ACCESS_KEY_ID", "profile", "web identity", "instance role"):
        assert way in told.value.remedy
    return told.value


def test_keys_of_the_configuration_are_used_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "AKIAENV")
    asked = Asked()
    source = made(static=Keys("AKIAOWN", "own", "token"), offload=asked)
    assert source.method == "configuration"
    assert result_of(source.keys()) == Keys("AKIAOWN", "own", "token")
    source.expired()
    assert result_of(source.keys()) == Keys("AKIAOWN", "own", "token")
    assert asked.count == 0


@pytest.mark.parametrize("token", [None, "a token"])
def test_keys_of_the_environment_are_found(monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    give(monkeypatch, "AKIAENV", "env secret", token)
    source = made()
    assert source.method == ""
    assert result_of(source.keys()) == Keys("AKIAENV", "env secret", token)
    assert source.method == "env"


@pytest.mark.parametrize(
    ("profile", "expected"), [(None, Keys("AKIADEFAULT", "one")), ("other", Keys("AKIAOTHER", "two", "token"))]
)
def test_a_profile_of_the_shared_file_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str | None, expected: Keys
) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = one\n\n"
        "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = two\naws_session_token = token\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    source = made(profile=profile)
    assert result_of(source.keys()) == expected
    assert source.method == "shared-credentials-file"


def test_a_profile_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nosuch" in none_found(made(profile="nosuch")).detail


def test_a_shared_file_that_cannot_be_read_means_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(b"no section at all = 1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    none_found(made())


def test_no_credentials_are_an_error_with_a_remedy() -> None:
    none_found(made())


def test_half_a_pair_means_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHALF")
    none_found(made())


def test_after_there_were_none_each_request_looks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()
    source = made(offload=asked)
    none_found(source)
    none_found(source)
    assert asked.count == 2
    give(monkeypatch, "AKIALATE")
    assert result_of(source.keys()).access == "AKIALATE"


def test_the_chain_is_asked_again_after_a_minute_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "AKIAENV")
    asked, seconds = Asked(), Seconds()
    source = made(offload=asked, seconds=seconds)
    for now, count in ((1000.0, 1), (1000.0, 1), (1059.9, 1), (1060.0, 2), (1119.9, 2), (1120.0, 3)):
        seconds.now = now
        assert result_of(source.keys()).access == "AKIAENV"
        assert asked.count == count, now


def test_keys_called_expired_are_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "AKIAOLD", token="old")
    asked = Asked()
    source = made(offload=asked)
    assert result_of(source.keys()).access == "AKIAOLD"
    give(monkeypatch, "AKIANEW", token="new")
    assert result_of(source.keys()).access == "AKIAOLD"
    source.expired()
    assert result_of(source.keys()) == Keys("AKIANEW", "secret", "new")
    assert asked.count == 2


def test_a_service_gives_temporary_keys(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in")
    metadata.answers = [temporary("ONE")]
    source = made()
    assert result_of(source.keys()) == keys_of("ONE")
    assert source.method == "container-role"
    assert [(path, token) for path, token, _ in metadata.requests] == [("/role/credentials", "let me in")]


def test_a_service_is_not_asked_while_its_keys_are_good(metadata: Metadata) -> None:
    metadata.answers = [temporary("ONE"), temporary("TWO")]
    asked, seconds = Asked(), Seconds()
    source = made(offload=asked, seconds=seconds)
    for _ in range(3):
        assert result_of(source.keys()) == keys_of("ONE")
        seconds.now += 61
    assert asked.count == 3
    assert len(metadata.requests) == 1


def test_keys_about_to_expire_are_renewed(metadata: Metadata) -> None:
    metadata.answers = [temporary("ONE", timedelta(minutes=5)), temporary("TWO")]
    seconds = Seconds()
    source = made(seconds=seconds)
    first = result_of(source.keys())
    seconds.now += 60
    assert result_of(source.keys()) == keys_of("TWO")
    assert first in (keys_of("ONE"), keys_of("TWO"))


def test_a_service_is_asked_anew_after_its_keys_were_called_expired(metadata: Metadata) -> None:
    metadata.answers = [temporary("ONE"), temporary("TWO")]
    source = made()
    assert result_of(source.keys()) == keys_of("ONE")
    source.expired()
    assert result_of(source.keys()) == keys_of("TWO")


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"later"),
        (404, b"{}"),
        (200, b"<html>"),
        (200, b""),
        (200, b"\xff\xfe"),
        (200, b"[]"),
        (200, b"{}"),
    ],
)
def test_a_service_that_fails_means_no_credentials_and_is_asked_again(
    metadata: Metadata, answer: tuple[int, bytes]
) -> None:
    metadata.answers = [answer]
    source = made()
    none_found(source)
    metadata.answers = [temporary("ONE")]
    assert result_of(source.keys()) == keys_of("ONE")


def test_a_service_that_gives_keys_already_expired_means_no_credentials(metadata: Metadata) -> None:
    metadata.answers = [temporary("OLD", timedelta(minutes=-1))]
    none_found(made())


def test_what_a_failing_service_said_is_cut(metadata: Metadata) -> None:
    metadata.answers = [(500, b"x" * 100_000)]
    assert len(none_found(made()).detail) < 2000


def test_a_service_that_is_not_there_means_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
    none_found(made())


@pytest.fixture
def web_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Metadata]:
    service = Metadata()
    (tmp_path / "jwt").write_text("header.payload.signature")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "jwt"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/gateway")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
    yield service
    service.stop()


def test_a_web_identity_is_exchanged_for_temporary_keys(web_identity: Metadata) -> None:
    expiration = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    web_identity.answers = [
        (
            200,
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>"
            "<SecretAccessKey>secret of WEB</SecretAccessKey><SessionToken>token of WEB</SessionToken>"
            f"<Expiration>{expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>".encode(),
        )
    ]
    source = made()
    assert result_of(source.keys()) == keys_of("WEB")
    assert source.method == "assume-role-with-web-identity"


def test_a_web_identity_that_is_refused_means_no_credentials(web_identity: Metadata) -> None:
    web_identity.answers = [
        (
            403,
            b'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
            b"<Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>"
            b"</Error><RequestId>1</RequestId></ErrorResponse>",
        )
    ]
    assert "AccessDenied" in none_found(made()).detail


def test_nothing_is_asked_but_through_the_offload(metadata: Metadata) -> None:
    metadata.answers = [temporary("ONE")]
    held: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def later(work: Callable[[], Any], /) -> Deferred[Any]:
        held.append((work, Deferred()))
        return held[-1][1]

    source = made(offload=later)
    wanted = started(source.keys())
    assert unfired(wanted)
    assert metadata.requests == []
    work, waiting = held.pop()
    waiting.callback(work())
    assert result_of(wanted) == keys_of("ONE")
    assert held == []


@pytest_twisted.ensureDeferred
async def test_a_service_is_asked_in_another_thread(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata.answers = [temporary("ONE", timedelta(minutes=5))]
    seen: list[int] = []
    fetch = ContainerMetadataFetcher.retrieve_full_uri

    def watched(self: ContainerMetadataFetcher, *args: Any, **kwargs: Any) -> Any:
        seen.append(threading.get_ident())
        return fetch(self, *args, **kwargs)

    monkeypatch.setattr(ContainerMetadataFetcher, "retrieve_full_uri", watched)
    seconds = Seconds()
    source = made(offload=threads.deferToThread, seconds=seconds)
    for _ in range(3):
        assert await source.keys() == keys_of("ONE")
        seconds.now += 60
    assert len(seen) >= 3
    assert threading.get_ident() not in seen


class Held:
    """An offload whose work ends when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        self.jobs.append((work, Deferred()))
        return self.jobs[-1][1]

    def finish(self) -> None:
        work, waiting = self.jobs.pop(0)
        execute(work).chainDeferred(waiting)


def test_those_who_ask_at_the_same_time_share_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that hangs keeps one thread, not one more for every request that gave up waiting for it."""
    give(monkeypatch, "AKIAENV")
    held = Held()
    source = made(offload=held)
    asked = [started(source.keys()) for _ in range(5)]
    asked[1].addErrback(lambda _: None).cancel()
    late = started(source.keys())
    assert len(held.jobs) == 1
    held.finish()
    for one in (*asked[:1], *asked[2:], late):
        assert result_of(one).access == "AKIAENV"
    assert held.jobs == []


def test_a_search_that_fails_fails_for_all_who_wait() -> None:
    held = Held()
    source = made(offload=held)
    asked = [started(source.keys()) for _ in range(3)]
    held.finish()
    for one in asked:
        with pytest.raises(StoreError):
            result_of(one)
    assert unfired(started(source.keys()))
    assert len(held.jobs) == 1


def test_keys_called_expired_while_they_are_looked_for_are_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "AKIAOLD")
    held = Held()
    source = made(offload=held)
    wanted = started(source.keys())
    work, waiting = held.jobs.pop()
    old = work()
    source.expired()
    give(monkeypatch, "AKIANEW")
    waiting.callback(old)
    assert unfired(wanted)
    held.finish()
    assert result_of(wanted).access == "AKIANEW"


def test_keys_that_are_older_than_the_present_ones_take_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "AKIAOLD")
    asked = Asked()
    source = made(offload=asked)
    old = result_of(source.keys())
    source.expired(old)
    give(monkeypatch, "AKIANEW")
    assert result_of(source.keys()).access == "AKIANEW"
    source.expired(old)
    assert result_of(source.keys()).access == "AKIANEW"
    assert asked.count == 2


@pytest.mark.parametrize(
    "content",
    [
        b'{"AccessKeyId": "ASIAX", "SecretAccessKey": "planted-secret", "Token": "planted-token"',
        b"{'SecretAccessKey': 'planted-secret with blanks', 'SessionToken': 'planted-token'",
        b"aws_secret_access_key = planted-secret\naws_session_token=planted-token",
        b'"Password" : "planted-secret',
    ],
)
def test_a_secret_in_what_cannot_be_read_is_not_shown(metadata: Metadata, content: bytes) -> None:
    for status in (200, 500):
        metadata.answers = [(status, content)]
        error = none_found(made())
        assert "planted" not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__
