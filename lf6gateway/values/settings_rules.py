"""What must hold between the values of a configuration. Owns the rules that need more than one key; must never look at
how a value was written."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lf6gateway.values.settings_fields import aws_refuses
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.size import format_size
from lf6gateway.values.stream import Stream

if TYPE_CHECKING:
    from lf6gateway.values.settings import Settings


@dataclass(frozen=True, slots=True)
class Conflict:
    """Values that do not fit each other.

    :param keys: the keys concerned, the one to mend first.
    :param what: what is wrong and what would be right.
    """

    keys: tuple[str, ...]
    what: str


def conflicts(settings: Settings) -> tuple[Conflict, ...]:
    """Every rule that a configuration breaks."""
    return (
        *_destination(settings),
        *_buckets(settings),
        *_credentials(settings),
        *_folders(settings),
        *_limits(settings),
        *_access(settings),
        *_workers(settings),
        *_admin(settings),
    )


def _destination(settings: Settings) -> Iterator[Conflict]:
    if settings.s3 is None and settings.storage is None:
        yield Conflict(
            ("s3.usage_bucket", "s3.error_bucket", "s3.specimen_bucket", "storage.directory"),
            "nothing says where the data go; set s3.usage_bucket, s3.error_bucket and s3.specimen_bucket, or "
            "storage.directory on a machine with no S3",
        )
    if settings.s3 is not None and settings.storage is not None:
        yield Conflict(
            ("storage.directory", "s3.usage_bucket"), "stands beside the s3 section; keep one of them, remove the other"
        )


def _buckets(settings: Settings) -> Iterator[Conflict]:
    # Usage and error keys differ in their prefix alone. A specimen's key never equals one of theirs, whatever the
    # prefix: theirs end in ".jsonl.gz", and the last or last but one part of a specimen's name has only digits. So
    # specimens may share bucket and prefix with them.
    s3 = settings.s3
    if s3 is None:
        return
    if (s3.usage_bucket, s3.usage_prefix) == (s3.error_bucket, s3.error_prefix):
        yield Conflict(
            ("s3.error_prefix", "s3.error_bucket", "s3.usage_bucket", "s3.usage_prefix"),
            f"usage and error reports would have the same keys, for their bucket {shown(s3.error_bucket)} and prefix "
            f"{shown(s3.error_prefix)} are the same; give them different prefixes, such as usage and error",
        )
    if settings.aws.endpoint is None:
        for stream in Stream:
            name = str(settings.bucket(stream))
            if aws_refuses(name):
                yield Conflict(
                    (f"s3.{stream.value}_bucket", "aws.endpoint"),
                    f"{shown(name)} is no bucket name of AWS; it has 3 to 63 lower-case letters, digits, dots and "
                    "hyphens, begins and ends with a letter or digit, and is no IP address (with aws.endpoint more "
                    "names are taken)",
                )


def _credentials(settings: Settings) -> Iterator[Conflict]:
    aws = settings.aws
    for one, other, given, missing in (
        ("aws.access_key_id", "aws.secret_access_key", aws.access_key_id, aws.secret_access_key),
        ("aws.secret_access_key", "aws.access_key_id", aws.secret_access_key, aws.access_key_id),
    ):
        if given is not None and missing is None:
            yield Conflict(
                (one, other), f"is set without {other}; set both, or neither to use the AWS credential chain"
            )
    if aws.session_token is not None and aws.access_key_id is None and aws.secret_access_key is None:
        yield Conflict(
            ("aws.session_token", "aws.access_key_id", "aws.secret_access_key"),
            "is set without aws.access_key_id and aws.secret_access_key, which it belongs to",
        )
    if aws.profile is not None and (aws.access_key_id is not None or aws.secret_access_key is not None):
        yield Conflict(
            ("aws.profile", "aws.access_key_id", "aws.secret_access_key"),
            "is set beside static keys; keep the profile or the keys",
        )


def _folders(settings: Settings) -> Iterator[Conflict]:
    if settings.storage is None:
        return
    target, cache = settings.storage.directory, settings.cache_dir
    if _within(target, cache):
        yield Conflict(
            ("storage.directory", "cache_dir"),
            f"{shown(target)} is or lies in cache_dir ({shown(cache)}), where delivered objects would be taken for "
            "data that still wait; choose a folder outside it",
        )
    elif any(_within(cache, posixpath.join(target, stream.value)) for stream in Stream):
        yield Conflict(
            ("cache_dir", "storage.directory"),
            f"{shown(cache)} lies among the objects of storage.directory ({shown(target)}); choose a folder outside it",
        )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _limits(settings: Settings) -> Iterator[Conflict]:
    http, spool, upload = settings.http, settings.spool, settings.upload
    for small, small_value, large, large_value in (
        ("http.max_report", http.max_report, "http.max_batch", http.max_batch),
        ("http.max_batch", http.max_batch, "spool.max_waiting_bytes", spool.max_waiting_bytes),
        ("http.max_batch", http.max_batch, "spool.max_bytes", spool.max_bytes),
        ("http.max_specimen", http.max_specimen, "spool.max_bytes", spool.max_bytes),
    ):
        if small_value > large_value:
            yield Conflict(
                (small, large),
                f"{small} ({format_size(small_value)}) is more than {large} ({format_size(large_value)}), so that such "
                "a body could never be taken; lower the one or raise the other",
            )
    if upload.retry_min > upload.retry_max:
        yield Conflict(
            ("upload.retry_min", "upload.retry_max"),
            f"upload.retry_min ({upload.retry_min}) is longer than upload.retry_max ({upload.retry_max}); lower the "
            "one or raise the other",
        )


def _access(settings: Settings) -> Iterator[Conflict]:
    auth, tls = settings.auth, settings.http.tls
    if auth.mode == "tokens" and auth.tokens_file is None:
        yield Conflict(
            ("auth.tokens_file", "auth.mode"),
            "auth.mode tokens needs auth.tokens_file; name a file there, and fill it with: lf6gateway token add",
        )
    if auth.mode == "jwt":
        for key, value in (
            ("auth.jwt_issuer", auth.jwt_issuer),
            ("auth.jwt_audience", auth.jwt_audience),
            ("auth.jwt_keys", auth.jwt_keys),
        ):
            if not value:
                yield Conflict((key, "auth.mode"), f"auth.mode jwt needs {key}; without it anybody's token would do")
    for one, other, given, missing in (
        ("http.tls.certificate", "http.tls.key", tls.certificate, tls.key),
        ("http.tls.key", "http.tls.certificate", tls.key, tls.certificate),
        ("http.tls.client_ca", "http.tls.certificate", tls.client_ca, tls.certificate),
    ):
        if given is not None and missing is None:
            yield Conflict((one, other), f"is set without {other}; set both, or neither for a port without TLS")
    if settings.http.proxy_protocol == "on" and not settings.http.trusted_proxies:
        yield Conflict(
            ("http.proxy_protocol", "http.trusted_proxies"),
            "is on, but no proxy is trusted, so that every connection would be closed; list the proxies in "
            "http.trusted_proxies",
        )
    if settings.http.proxy_protocol == "on" and any(text.startswith("ssl:") for text in settings.http.listen):
        yield Conflict(
            ("http.listen", "http.proxy_protocol"),
            "has an ssl: endpoint, which cannot read a PROXY header before TLS; use tcp: and http.tls",
        )


def _workers(settings: Settings) -> Iterator[Conflict]:
    if settings.workers == 1:
        return
    for text in settings.http.listen:
        if not text.startswith(("tcp:", "tcp6:", "unix:", "systemd:")):
            yield Conflict(
                ("http.listen", "workers"),
                f"{shown(text)} cannot be shared by several workers; use tcp, tcp6, unix or systemd endpoints, or "
                "workers: 1",
            )


def _admin(settings: Settings) -> Iterator[Conflict]:
    admin = settings.admin
    address = admin.address
    if admin.token is not None and admin.token_file is not None:
        yield Conflict(("admin.token_file", "admin.token"), "is set beside admin.token; keep one of them")
    if address is not None and not address.loopback and admin.token is None and admin.token_file is None:
        yield Conflict(
            ("admin.listen", "admin.token", "admin.token_file"),
            f"{shown(admin.listen)} can be reached by other machines, and what it shows is not for everybody; set "
            "admin.token or admin.token_file, or listen on 127.0.0.1",
        )
