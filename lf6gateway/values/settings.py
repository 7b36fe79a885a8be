"""The configuration as the rest of the program sees it: typed, complete and immutable. Owns every key, its default and
its bounds; must never read a file or the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import SecretStr, model_validator

from lf6gateway.values.duration import Duration, parse_duration
from lf6gateway.values.networks import parse_networks
from lf6gateway.values.settings_access import Audit, Auth, HowMuch, Peers, Tls
from lf6gateway.values.settings_admin import Admin
from lf6gateway.values.settings_alerts import Alerts
from lf6gateway.values.settings_fields import (
    AbsolutePath,
    Bucket,
    Endpoint,
    Flag,
    Hostname,
    Listen,
    Prefix,
    Profile,
    Region,
    Secret,
    Span,
    Workers,
    amount,
    choice,
    count,
)
from lf6gateway.values.settings_rules import Conflict, conflicts
from lf6gateway.values.settings_section import Section
from lf6gateway.values.size import GIB, KIB, MIB, TIB
from lf6gateway.values.stream import Stream

DEFAULT_CACHE_DIR: Final = "/var/lib/lightfile6-insights-gateway"
"""Where the spool lives if nothing else is said; the same place as the Go original's."""


class Aws(Section):
    """How S3 is reached, and as whom."""

    region: Region = "ap-northeast-1"
    """The region of the buckets."""
    access_key_id: Secret | None = None
    """A static access key; without one the AWS chain is asked."""
    secret_access_key: Secret | None = None
    """The static access key's secret."""
    session_token: Secret | None = None
    """The token of a static access key that is a temporary one."""
    endpoint: Endpoint | None = None
    """The URL of an S3 service that is not AWS; buckets then go into the path."""
    profile: Profile | None = None
    """The profile of the AWS configuration files to use."""
    ca_bundle: AbsolutePath | None = None
    """A PEM file of the authorities that may sign the endpoint's certificate."""


class S3(Section):
    """Where each stream's objects go in S3."""

    usage_bucket: Bucket
    """The bucket of the usage reports."""
    error_bucket: Bucket
    """The bucket of the error reports."""
    specimen_bucket: Bucket
    """The bucket of the specimens."""
    usage_prefix: Prefix = ""
    """What the usage reports' keys begin with."""
    error_prefix: Prefix = ""
    """What the error reports' keys begin with."""
    specimen_prefix: Prefix = ""
    """What the specimens' keys begin with."""


class Storage(Section):
    """Where objects go on a machine with no S3."""

    directory: AbsolutePath
    """The folder that the same keys are written under."""


class Aggregation(Section):
    """How records are gathered."""

    usage_interval: Span = parse_duration("10m")
    """How often usage reports are sealed and shipped."""
    error_interval: Span = parse_duration("10m")
    """How often error reports are sealed and shipped."""
    compression_level: Annotated[int, count(1, 9)] = 6
    """The level of gzip."""
    segment_bytes: Annotated[int, amount(64 * KIB, 4 * GIB)] = 64 * MIB
    """The size at which a segment of the journal is sealed before its interval is over."""


class Records(Section):
    """What records look like in objects."""

    envelope: Flag = False
    """Whether each record is put into an envelope that says when it was received, from whom, where, and its id."""


class Http(Section):
    """The public port."""

    listen: Listen = ()
    """Endpoint strings to listen on where ``--port`` is not given; none: port 8080."""
    max_report: Annotated[int, amount(1, GIB)] = MIB
    """The largest body of one JSON value, after decoding."""
    max_batch: Annotated[int, amount(1, GIB)] = 32 * MIB
    """The largest body of a batch, after decoding."""
    max_specimen: Annotated[int, amount(1, 5 * TIB)] = 256 * MIB
    """The largest specimen, after decoding."""
    header_timeout: Span = parse_duration("10s")
    """How long a client may take for the head of a request."""
    body_timeout: Span = parse_duration("30s")
    """The longest pause in a body."""
    idle_timeout: Span = parse_duration("75s")
    """How long a connection is kept between requests."""
    max_connections: Annotated[int, count(1, 10_000_000)] = 10_000
    """How many connections are held at once."""
    channel: Annotated[Literal["auto", "httptools", "twisted"], choice("auto", "httptools", "twisted")] = "auto"
    """What reads HTTP: ``httptools`` (llhttp, in C), ``twisted``, or ``auto``: the first of these that is installed."""
    trusted_proxies: Peers = parse_networks(())
    """Networks of proxies that are believed when they say whom they forward."""
    forwarded_field: Annotated[Literal["X-Forwarded-For", "Forwarded"], choice("X-Forwarded-For", "Forwarded")] = (
        "X-Forwarded-For"
    )
    """The header field that the trusted proxies write; the other one is not looked at."""
    proxy_protocol: Annotated[Literal["off", "on"], choice("off", "on")] = "off"
    """Whether each connection begins with a header of the PROXY protocol, from a trusted proxy."""
    tls: Tls = Tls()
    """TLS on the public port."""


class Spool(Section):
    """What may be kept on disk."""

    max_bytes: Annotated[int, amount(MIB, 1024 * TIB)] = 10 * GIB
    """The most that waits on disk before new data are refused."""
    min_free_bytes: Annotated[int, amount(MIB, 1024 * TIB)] = 256 * MIB
    """The room that the disk keeps for others and for removing what was shipped."""
    min_free_inodes: Annotated[int, count(10, 1_000_000_000_000)] = 1_000
    """The inodes that the file system keeps."""
    max_waiting_bytes: Annotated[int, amount(64 * KIB, 64 * GIB)] = 64 * MIB
    """The most that waits in memory for the disk before new data are refused."""


class Upload(Section):
    """How objects are sent."""

    specimens_at_once: Annotated[int, count(1, 1_000)] = 8
    """How many specimens are sent at the same time."""
    hours_at_once: Annotated[int, count(1, 1_000)] = 4
    """How many hours of one stream are sent at the same time."""
    request_timeout: Span = parse_duration("60s")
    """The deadline of one request to S3."""
    retry_min: Span = parse_duration("500ms")
    """The first pause after a failure."""
    retry_max: Span = parse_duration("5m")
    """The longest pause after failures."""
    part_bytes: Annotated[int, amount(5 * MIB, 5 * GIB)] = 16 * MIB
    """The size of a part of a large object; S3 takes parts from 5 MiB on."""


class Idempotency(Section):
    """Repeated requests."""

    max_keys: Annotated[int, count(1, 1_000_000_000)] = 1_000_000
    """How many keys of the last hour are remembered."""


class Shutdown(Section):
    """The stop."""

    deadline: Span = parse_duration("30s")
    """How long a stop may take to ship what is left."""


class Log(Section):
    """The log."""

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"], choice("debug", "info", "warn", "error", "critical")
    ] = "info"
    """The least level that is written."""
    format: Annotated[Literal["auto", "text", "json"], choice("auto", "text", "json")] = "auto"
    """``text``: a line for people; ``json``: one object a line; ``auto``: text on a terminal, else json."""


class Settings(Section):
    """The whole configuration."""

    cache_dir: AbsolutePath = DEFAULT_CACHE_DIR
    """The folder of the spool."""
    hostname: Hostname
    """The name of this machine in the keys of objects."""
    workers: Workers = 1
    """How many processes serve the public port; ``auto``: one for each processor."""
    aws: Aws = Aws()
    """How S3 is reached, and as whom."""
    s3: S3 | None = None
    """The buckets; ``None`` where ``storage`` is given."""
    storage: Storage | None = None
    """The folder in place of S3."""
    aggregation: Aggregation = Aggregation()
    """How records are gathered."""
    records: Records = Records()
    """What records look like in objects."""
    http: Http = Http()
    """The public port."""
    auth: Auth = Auth()
    """How it is decided who sends a request."""
    limits: HowMuch = HowMuch()
    """Who may send at all, and how much of it."""
    audit: Audit = Audit()
    """The audit trail."""
    admin: Admin = Admin()
    """The listener for operators."""
    alerts: Alerts = Alerts()
    """What operators are alerted of."""
    spool: Spool = Spool()
    """What may be kept on disk."""
    upload: Upload = Upload()
    """How objects are sent."""
    idempotency: Idempotency = Idempotency()
    """Repeated requests."""
    shutdown: Shutdown = Shutdown()
    """The stop."""
    log: Log = Log()
    """The log."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        found = conflicts(self)
        if found:
            raise Inconsistent(found)
        return self

    def processes(self, processors: int) -> int:
        """How many processes serve the port of a machine with so many processors."""
        return processors if self.workers == "auto" else self.workers

    def bucket(self, stream: Stream) -> str | None:
        """The bucket of a stream; ``None`` where objects go to a folder."""
        return None if self.s3 is None else str(getattr(self.s3, f"{stream.value}_bucket"))

    def prefix(self, stream: Stream) -> str:
        """What a stream's keys begin with: nothing, or something that ends in one slash."""
        return f"{stream.value}/" if self.s3 is None else str(getattr(self.s3, f"{stream.value}_prefix"))

    def interval(self, stream: Stream) -> Duration:
        """How often a stream of records is sealed.

        :raises AttributeError: specimens are not gathered.
        """
        found: Duration = getattr(self.aggregation, f"{stream.value}_interval")
        return found


class Inconsistent(ValueError):
    """Values that are right by themselves do not fit each other."""

    def __init__(self, found: tuple[Conflict, ...]) -> None:
        self.conflicts = found
        super().__init__("; ".join(f"{conflict.keys[0]}: {conflict.what}" for conflict in found))


def _sections() -> Iterator[tuple[str, type[Section]]]:
    yield "", Settings
    yield from (
        ("aws", Aws),
        ("s3", S3),
        ("storage", Storage),
        ("aggregation", Aggregation),
        ("records", Records),
        ("http", Http),
        ("http.tls", Tls),
        ("auth", Auth),
        ("limits", HowMuch),
        ("audit", Audit),
        ("admin", Admin),
        ("alerts", Alerts),
        ("spool", Spool),
        ("upload", Upload),
        ("idempotency", Idempotency),
        ("shutdown", Shutdown),
        ("log", Log),
    )


SECTIONS: Final[Mapping[str, type[Section]]] = MappingProxyType(dict(_sections()))
"""The keys that hold keys; the empty name is the whole."""

KEYS: Final = tuple(
    f"{section}.{name}" if section else name
    for section, model in SECTIONS.items()
    for name in model.model_fields
    if (f"{section}.{name}" if section else name) not in SECTIONS
)
"""Every key that has a value, as ``s3.usage_bucket``."""

REQUIRED: Final = ("s3.usage_bucket", "s3.error_bucket", "s3.specimen_bucket")
"""The keys that have no default; ``storage.directory`` stands in for all of them."""

SECRETS: Final = ("aws.access_key_id", "aws.secret_access_key", "aws.session_token", "admin.token", "alerts.webhook")
"""The keys whose values no print-out shows."""

LISTS: Final = (
    "http.listen",
    "http.trusted_proxies",
    "auth.jwt_audience",
    "auth.jwt_algorithms",
    "limits.allow",
    "limits.deny",
    "admin.hosts",
    "alerts.disabled",
)
"""The keys whose value is a list."""


def value_of(settings: Settings, key: str) -> object:
    """The value of a key of ``KEYS``; ``None`` where its whole section is left out."""
    value: object = settings
    for name in key.split("."):
        value = None if value is None else getattr(value, name)
    return value


def reveal(secret: SecretStr | None) -> str | None:
    """The secret itself, for whoever has to sign with it."""
    return None if secret is None else secret.get_secret_value()
