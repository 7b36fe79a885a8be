"""How much may be sent: requests and bytes, by user, address and day, and what a sender is told."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from lf6gateway.services.access import Access
from lf6gateway.services.counting import Counting
from lf6gateway.services.distant_limits import DistantLimits
from lf6gateway.services.surroundings import real
from lf6gateway.values.settings import Settings
from lf6gateway.values.stream import Stream
from lf6gateway.values.wire import Message, Verdict
from tests.http_support import chunked, each_channel, request
from tests.test_guard import Guarded, settings

pytestmark = pytest.mark.usefixtures("each_channel", "each_counter")
__all__ = ["each_channel"]

PROXY = "http: {trusted_proxies: [192.0.2.0/24]}\n"


WORKER = {"now": False}


@pytest.fixture(params=[False, True], ids=["alone", "as a worker"])
def each_counter(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs a test with one process, and as a worker whose gateway counts for all of them."""
    WORKER["now"] = request.param
    yield
    WORKER["now"] = False


class Limited(Guarded):
    """A guarded site, whose limits are perhaps counted by another process; ``counts`` is the one that counts."""

    def __init__(self, more: str) -> None:
        super().__init__(more, tokens=False)
        self.counts = self.access
        self.late: list[Message] | None = None
        """What the gateway says and the worker has not heard yet, where a test keeps it back."""
        if WORKER["now"]:
            self.counts = Access(settings(more), real(self.clock, lambda: int(self.clock.seconds() * 1e9)))
            counting = Counting(self.counts, self._said)
            self.access.distant = DistantLimits(lambda message: counting.received(message))  # type: ignore[arg-type]

    def _said(self, message: Message) -> None:
        if self.late is not None:
            self.late.append(message)
        else:
            self._heard(message)

    def _heard(self, message: Message) -> None:
        assert isinstance(message, Verdict)
        assert self.access.distant is not None
        self.access.distant.verdict(message)

    def hear(self) -> None:
        """Let the worker hear what was kept back."""
        late, self.late = self.late, None
        for message in late or []:
            self._heard(message)

    def reconfigure(self, other: Settings) -> None:
        for access in {id(one): one for one in (self.access, self.counts)}.values():
            access.reconfigure(other)


def limited(limits: str, more: str = "") -> Limited:
    return Limited(f"{more}limits: {{{limits}}}")


def statuses(
    gateway: Guarded, count: int, body: bytes = b"1", user: str = "alice", path: str = "/usage", *headers: str
) -> list[int]:
    return [gateway.ask(request("PUT", path, body, *headers, user=user)).status for _ in range(count)]


def test_a_user_may_send_so_many_requests_and_is_told_when_to_come_back() -> None:
    gateway = limited("user_requests: 3/1m")
    assert statuses(gateway, 3) == [204] * 3
    reply = gateway.ask(request("PUT", "/usage", b"1", user="alice"))
    assert reply.status == 429
    assert reply.problem["type"].endswith("too-many-requests")
    assert reply.problem["policy"] == "user-requests"
    assert reply.header("retry-after") == "20"
    assert reply.header("ratelimit-policy") == '"user-requests";q=3;w=60'
    assert reply.header("ratelimit") == '"user-requests";r=0;t=20'
    assert statuses(gateway, 1, user="bob") == [204]
    gateway.clock.advance(20)
    assert statuses(gateway, 2) == [204, 429]
    assert gateway.access.refused["user-requests"] == 2


def test_bytes_are_limited_whether_announced_or_in_chunks() -> None:
    gateway = limited("user_bytes: 1KiB/1s")
    assert statuses(gateway, 2, b" " * 399 + b"1") == [204, 204]
    reply = gateway.ask(request("PUT", "/usage", b" " * 399 + b"1", user="alice"))
    assert reply.status == 429
    assert reply.header("ratelimit-policy") == '"user-bytes";q=1024;qu="content-bytes";w=1'
    assert reply.header("ratelimit") == '"user-bytes";r=224;t=1'
    assert statuses(gateway, 1, b" " * 199 + b"1") == [204]
    gateway.clock.advance(1)
    # A body of no announced length is let in while anything is left; what it takes is counted as it comes.
    assert gateway.ask(chunked("PUT", "/usage", [b" " * 5_000, b"1"], user="alice")).status == 204
    assert gateway.ask(chunked("PUT", "/usage", [b"1"], user="alice")).status == 429
    gateway.clock.advance(3)
    assert gateway.ask(chunked("PUT", "/usage", [b"1"], user="alice")).status == 429
    gateway.clock.advance(1)
    assert gateway.ask(chunked("PUT", "/usage", [b"1"], user="alice")).status == 204


def test_a_body_larger_than_a_bucket_is_taken_when_it_is_full() -> None:
    gateway = limited("user_bytes: 1KiB/1s")
    body = b" " * 10_000 + b"1"
    assert statuses(gateway, 2, body) == [204, 429]
    gateway.clock.advance(10)
    assert statuses(gateway, 2, body) == [204, 429]


def test_what_was_announced_and_did_not_come_is_given_back() -> None:
    gateway = limited("user_bytes: 1KiB/1h, daily_specimen_bytes: 1KiB")
    for _ in range(5):
        connection = gateway.connect()
        connection.send(request("PUT", "/specimen?uri=a", b"x" * 700, user="alice")[:-650])
        connection.hang_up()
    assert gateway.counts.allowance.daily.used("alice", Stream.SPECIMEN, 0) == 250
    assert statuses(gateway, 1, b"x" * 700, path="/specimen?uri=a") == [204]


def test_what_is_announced_at_the_same_time_counts_before_it_comes() -> None:
    gateway = limited("daily_specimen_bytes: 1KiB")
    first = gateway.connect()
    data = request("PUT", "/specimen?uri=a", b"x" * 800, user="alice")
    first.send(data[:-700])
    assert statuses(gateway, 1, b"x" * 800, path="/specimen?uri=a") == [429]
    first.send(data[-700:])
    assert first.reply().status == 204


def test_a_day_s_quota_is_each_user_s_and_stream_s() -> None:
    gateway = limited("daily_usage_bytes: 10, daily_error_bytes: 10")
    gateway.clock.advance(86_400 - 100)
    assert statuses(gateway, 2, b"123456") == [204, 429]
    reply = gateway.ask(request("PUT", "/usage", b"123456", user="alice"))
    assert reply.problem["type"].endswith("quota-exceeded")
    assert reply.header("retry-after") == "100"
    assert reply.header("ratelimit-policy") == '"daily-usage";q=10;qu="content-bytes";w=86400'
    assert reply.header("ratelimit") == '"daily-usage";r=4;t=100'
    assert statuses(gateway, 1, b"1234") == [204]
    assert statuses(gateway, 1, b"123456", path="/error") == [204]
    assert statuses(gateway, 1, b"123456", user="bob") == [204]
    assert statuses(gateway, 1, b"123456", path="/specimen?uri=a") == [204]
    gateway.clock.advance(100)
    assert statuses(gateway, 1, b"123456") == [204]


def test_an_address_is_limited_whoever_sends_from_it() -> None:
    gateway = limited("address_requests: 2/1m", PROXY)
    for user, client, status in (
        ("alice", "198.51.100.1", 204), ("bob", "198.51.100.1", 204), ("carol", "198.51.100.1", 429),
        ("carol", "198.51.100.2", 204), ("a", "2001:db8::1", 204), ("a", "2001:db8::2", 204), ("a", "2001:db8::3", 429),
    ):  # fmt: skip
        assert statuses(gateway, 1, b"1", user, "/usage", f"X-Forwarded-For: {client}") == [status], (user, client)


def test_bytes_of_an_address_are_limited() -> None:
    gateway = limited("address_bytes: 10/1m")
    assert [statuses(gateway, 1, b"123456", user=user) for user in ("a", "b")] == [[204], [429]]


@pytest.mark.parametrize(
    ("lists", "client", "status"),
    [
        ("deny: [198.51.100.0/24]", "198.51.100.7", 403),
        ("deny: [198.51.100.0/24]", "203.0.113.7", 204),
        ("allow: [198.51.100.0/24]", "198.51.100.7", 204),
        ("allow: [198.51.100.0/24]", "203.0.113.7", 403),
        ("allow: [198.51.100.0/24], deny: [198.51.100.7]", "198.51.100.7", 403),
        ("allow: ['2001:db8::/32']", "2001:db8::7", 204),
        ("allow: ['2001:db8::/32']", "unknown", 403),
    ],
)
def test_networks_may_send_or_not(lists: str, client: str, status: int) -> None:
    gateway = limited(lists, PROXY)
    reply = gateway.ask(request("PUT", "/usage", b"1", f"X-Forwarded-For: {client}"))
    assert reply.status == status
    if status == 403:
        assert reply.problem["type"].endswith("address-not-allowed")
        assert gateway.access.refused["address"] == 1
    assert gateway.ask(request("GET", "/health", None, f"X-Forwarded-For: {client}")).status == 200


def test_a_client_cannot_forward_itself_around_a_list() -> None:
    gateway = limited("deny: [192.0.2.7]")  # which is where the connection comes from, and no proxy
    assert statuses(gateway, 1, b"1", "alice", "/usage", "X-Forwarded-For: 198.51.100.7") == [403]


def test_what_is_refused_for_another_reason_takes_no_bytes() -> None:
    gateway = limited("daily_usage_bytes: 10")
    for reply in (
        gateway.ask(request("PUT", "/usage", b"123456", "Content-Encoding: br")),
        gateway.ask(request("PUT", "/usage", b"123456", "Idempotency-Key: a b")),
    ):
        assert reply.status in (400, 415)
    assert statuses(gateway, 1, b"123456") == [204]


def test_other_limits_count_at_once_and_what_was_counted_by_the_same_ones_stays() -> None:
    gateway = limited("user_requests: 3/1h, address_requests: 100/1h")
    assert statuses(gateway, 3) == [204] * 3
    gateway.reconfigure(settings("limits: {user_requests: 3/1h}"))
    assert statuses(gateway, 1) == [429]
    gateway.reconfigure(settings("limits: {user_requests: 4/1h}"))
    assert statuses(gateway, 5) == [204] * 4 + [429]
    gateway.reconfigure(settings())
    assert statuses(gateway, 5) == [204] * 5


def test_no_flood_of_users_or_addresses_makes_it_grow() -> None:
    gateway = limited("user_requests: 1/1h, address_requests: 1/1h, daily_usage_bytes: 5, max_tracked: 100", PROXY)
    for number in range(250):
        statuses(gateway, 1, b"1", f"user{number}", "/usage", f"X-Forwarded-For: 198.51.100.{number}")
    allowance = gateway.counts.allowance
    assert [len(buckets) for buckets in allowance._buckets.values()] == [100, 100]
    assert len(allowance.daily) == 100


def test_the_audit_trail_names_whose_request_was_one_too_many() -> None:
    gateway = limited("user_requests: 1/1h")
    told: list[tuple[object, object]] = []
    gateway.access.audit = SimpleNamespace(  # type: ignore[assignment]
        tell=lambda event, fields: told.append((fields["user"], fields["status"]))
    )
    assert statuses(gateway, 2) == [204, 429]
    assert told == [("alice", 204), ("alice", 429)]


def test_what_is_let_in_when_its_sender_has_left_is_given_back() -> None:
    if not WORKER["now"]:
        return  # the answer is there at once
    gateway = limited("daily_specimen_bytes: 1KiB")
    for _ in range(3):
        gateway.late = []
        connection = gateway.connect()
        connection.send(request("PUT", "/specimen?uri=a", b"x" * 800, user="alice")[:-700])
        connection.hang_up()
        assert gateway.counts.allowance.daily.used("alice", Stream.SPECIMEN, 0) == 800
        gateway.hear()
        assert gateway.counts.allowance.daily.used("alice", Stream.SPECIMEN, 0) == 0
    assert statuses(gateway, 1, b"x" * 800, path="/specimen?uri=a") == [204]
