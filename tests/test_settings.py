"""The configuration: what each key takes, and that every mistake is told at once, with its place and its cure."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as quietly
from hypothesis import strategies as st
from pydantic import ValidationError

from lf6gateway.values.settings import KEYS, SECTIONS, Settings, reveal, value_of
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_print import masked_yaml, plain_value
from lf6gateway.values.settings_problem import Problem, SettingsError
from lf6gateway.values.settings_source import nearest, variable
from lf6gateway.values.stream import Stream

S3 = "s3: {usage_bucket: one, error_bucket: two, specimen_bucket: three}\n"
FOLDER = "storage: {directory: /srv/insights}\n"


def parsed(text: str, environ: Mapping[str, str] | None = None, *, hostname: str = "machine.example") -> Settings:
    return parse_settings(text, "config.yml", environ or {}, cwd="/home/me", hostname=hostname)


def refused(text: str, environ: Mapping[str, str] | None = None, *, hostname: str = "machine") -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        parsed(text, environ, hostname=hostname)
    return caught.value.problems


def only(text: str, environ: Mapping[str, str] | None = None) -> str:
    problems = refused(text, environ)
    assert len(problems) == 1, [str(problem) for problem in problems]
    return str(problems[0])


def test_the_original_s_keys_have_the_original_s_defaults() -> None:
    settings = parsed(S3)
    assert settings.cache_dir == "/var/lib/lightfile6-insights-gateway"
    assert settings.aws.region == "ap-northeast-1"
    assert settings.aws.endpoint is settings.aws.access_key_id is settings.aws.secret_access_key is None
    assert settings.interval(Stream.USAGE).seconds == settings.interval(Stream.ERROR).seconds == 600
    assert [settings.prefix(stream) for stream in Stream] == ["", "", ""]
    assert [settings.bucket(stream) for stream in Stream] == ["one", "two", "three"]
    assert settings.hostname == "machine.example"


def test_a_folder_in_place_of_s3_keeps_the_streams_apart() -> None:
    settings = parsed(FOLDER)
    assert settings.storage is not None
    assert settings.storage.directory == "/srv/insights"
    assert [settings.prefix(stream) for stream in Stream] == ["usage/", "error/", "specimen/"]
    assert [settings.bucket(stream) for stream in Stream] == [None, None, None]


def test_relative_paths_start_at_the_working_directory() -> None:
    settings = parsed("cache_dir: var/../cache\nstorage: {directory: ./out}\naws: {ca_bundle: ca.pem}")
    assert settings.cache_dir == "/home/me/cache"
    assert settings.storage is not None
    assert settings.storage.directory == "/home/me/out"
    assert settings.aws.ca_bundle == "/home/me/ca.pem"


@pytest.mark.parametrize("prefix", ["usage", "usage/", "usage//"])
def test_a_prefix_ends_in_one_slash_written_or_not(prefix: str) -> None:
    assert parsed(S3).prefix(Stream.USAGE) == ""
    assert parsed(S3.replace("}", f", usage_prefix: {prefix}}}")).prefix(Stream.USAGE) == "usage/"


EXAMPLES = {
    "cache_dir": "/elsewhere",
    "hostname": "other",
    "workers": "2",
    "aws.region": "eu-west-1",
    "aws.access_key_id": "AKIA1",
    "aws.secret_access_key": "s3cr3t",
    "aws.session_token": "t0k3n",
    "aws.endpoint": "http://localhost:9000",
    "aws.profile": "work",
    "aws.ca_bundle": "/ca.pem",
    "s3.usage_bucket": "bucket-u",
    "s3.error_bucket": "bucket-e",
    "s3.specimen_bucket": "bucket-s",
    "s3.usage_prefix": "u/",
    "s3.error_prefix": "e/",
    "s3.specimen_prefix": "s/",
    "storage.directory": "/out",
    "http.listen": "tcp:1 unix:/x",
    "http.channel": "twisted",
    "log.level": "debug",
    "log.format": "json",
    "http.trusted_proxies": "10.0.0.0/8 unix",
    "http.forwarded_field": "Forwarded",
    "http.proxy_protocol": "on",
    "http.tls.certificate": "/cert.pem",
    "http.tls.key": "/key.pem",
    "http.tls.client_ca": "/ca.pem",
    "http.tls.client_certificate": "optional",
    "auth.mode": "tokens",
    "auth.tokens_file": "/tokens",
    "auth.jwt_issuer": "https://issuer/",
    "auth.jwt_audience": "one two",
    "auth.jwt_algorithms": "EdDSA PS512",
    "auth.jwt_keys": "https://issuer/keys",
    "auth.jwt_user_claim": "email",
    "auth.certificate_user": "ignored",
    "limits.allow": "192.0.2.0/24",
    "limits.deny": "2001:db8::/32 192.0.2.7",
    "limits.user_requests": "5/1s",
    "limits.user_bytes": "5MiB/1s",
    "limits.address_requests": "6/1s",
    "limits.address_bytes": "6MiB/1s",
    "limits.daily_usage_bytes": "1MiB",
    "limits.daily_error_bytes": "2MiB",
    "limits.daily_specimen_bytes": "3MiB",
    "audit.file": "/audit",
    "admin.listen": "127.0.0.1:9607",
    "admin.token": "0123456789abcdef",
    "admin.token_file": "/admin.token",
    "admin.hosts": "one.internal two.internal",
    "admin.links": "true",
    "alerts.webhook": "https://hooks.internal/x",
    "alerts.format": "slack",
    "alerts.disabled": "disk quarantine",
}
BESIDE = {
    "http.tls.certificate": {"http.tls.key"},
    "http.tls.key": {"http.tls.certificate"},
    "http.tls.client_ca": {"http.tls.key", "http.tls.certificate"},
    "auth.mode": {"auth.tokens_file"},
    "http.proxy_protocol": {"http.trusted_proxies"},
}
"""The keys that another one needs beside it."""


def example(key: str) -> str:
    if key in EXAMPLES:
        return EXAMPLES[key]
    default = plain_value(parsed(FOLDER), key)
    if isinstance(default, int):
        return str(default // 2 + 1)
    # A span or an amount: another one in the same unit, that fits beside the others' defaults.
    return {"64MiB": "48MiB", "1MiB": "2MiB", "32MiB": "33MiB", "10GiB": "11GiB"}.get(
        default, "7MiB" if "B" in default else "7s"
    )


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_overridden_by_its_environment_variable_in_the_file_or_not(key: str) -> None:
    text = example(key)
    base = "" if key.startswith("s3.") else FOLDER
    environ = {variable(key): text}
    if key.startswith("s3."):
        environ = {variable(one): EXAMPLES[one] for one in EXAMPLES if one.startswith("s3.")} | environ
    if key in ("aws.access_key_id", "aws.secret_access_key", "aws.session_token"):
        environ = {variable(one): EXAMPLES[one] for one in EXAMPLES if one.endswith(("key_id", "access_key"))} | environ
    if key == "storage.directory":
        base = ""
    environ |= {variable(one): EXAMPLES[one] for one in BESIDE.get(key, ())}
    from_environment = value_of(parsed(base, environ), key)
    assert from_environment != value_of(parsed(FOLDER if not key.startswith("s3.") else S3), key)

    section, _, name = key.rpartition(".")
    if section in ("", "http", "log", "upload", "spool", "aggregation", "shutdown", "idempotency"):
        written = f"{section}: {{{name}: '{text}'}}\n" if section else f"{name}: '{text}'\n"
        beside = {variable(one): EXAMPLES[one] for one in BESIDE.get(key, ())}
        assert value_of(parsed(base + written, beside), key) == from_environment
        # The file says one thing, the environment another: the environment counts.
        other = parsed(base + written.replace(text, str(plain_value(parsed(FOLDER), key))), environ)
        assert value_of(other, key) == from_environment


def test_no_two_keys_share_a_variable() -> None:
    assert len({variable(key) for key in KEYS}) == len(KEYS)
    assert variable("s3.usage_bucket") == "LIGHTFILE6_S3_USAGE_BUCKET"


def test_an_empty_variable_is_none() -> None:
    assert parsed(FOLDER, {"LIGHTFILE6_LOG_LEVEL": ""}).log.level == "info"


def test_an_unknown_variable_is_a_mistake_with_a_suggestion() -> None:
    assert only(FOLDER, {"LIGHTFILE6_S3_USAGE_BUKET": "secret"}) == (
        "LIGHTFILE6_S3_USAGE_BUKET: no key has this environment variable; did you mean LIGHTFILE6_S3_USAGE_BUCKET?"
    )
    assert "key in capitals" in only(FOLDER, {"LIGHTFILE6_COMPLETELY_DIFFERENT": "1"})


def test_what_a_container_platform_sets_for_a_service_of_our_name_is_no_mistake() -> None:
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"]
    parsed(FOLDER, {f"LIGHTFILE6_GATEWAY_{name}": "tcp://10.0.0.1:80" for name in names})


def test_a_wrong_override_is_told_by_its_variable() -> None:
    problem = only(FOLDER, {"LIGHTFILE6_AGGREGATION_USAGE_INTERVAL": "10"})
    assert problem.startswith(
        "LIGHTFILE6_AGGREGATION_USAGE_INTERVAL: aggregation.usage_interval: 10 is a number without"
    )


def test_all_mistakes_are_told_at_once_each_with_its_place() -> None:
    text = """\
cache_dir: ~/cache
s3:
  usage_bukket: x
  usage_bucket: insights
  error_bucket: insights
  specimen_bucket: insights
  specimen_bucket: twice
aggregation:
  usage_interval: 10
  error_interval: -5m
  compression_level: 12
http: {listen: [8080, "0.0.0.0:81"], max_batch: 1K}
upload:
  retry_min: 10m
foo: 1
"""
    assert [str(problem) for problem in refused(text, {"LIGHTFILE6_LOG_LEVEL": "verbose"})] == [
        "config.yml:1:12: cache_dir: ~/cache begins with ~, which is not expanded; write the whole path",
        "config.yml:3:3: s3.usage_bukket: unknown key; did you mean s3.usage_bucket?",
        "config.yml:5:17: s3.error_bucket: usage and error reports would have the same keys, for their bucket insights and "
        "prefix '' are the same; give them different prefixes, such as usage and error",
        "config.yml:7:3: s3.specimen_bucket: is given twice; it is already on line 6: remove one of them",
        "config.yml:9:19: aggregation.usage_interval: 10 is a number without a unit; write 10s for seconds, 10m for minutes",
        "config.yml:10:19: aggregation.error_interval: -5m must be longer than nothing; "
        "write it like 500ms, 90s, 10m or 1h30m",
        "config.yml:11:22: aggregation.compression_level: must be from 1 to 9, not 12",
        "config.yml:12:16: http.listen: 8080 is no endpoint string of Twisted; write tcp:8080, and 0.0.0.0:81 is no "
        "endpoint string of Twisted; write tcp:81:interface=0.0.0.0",
        "config.yml:12:49: http.max_batch: 1K may mean two things; write 1KiB for units of 1024 or 1KB for 1000",
        "config.yml:14:14: upload.retry_min: upload.retry_min (10m) is longer than upload.retry_max (5m); lower the one or "
        "raise the other",
        "config.yml:15:1: foo: unknown key; config.example.yml lists them all",
        "LIGHTFILE6_LOG_LEVEL: log.level: verbose is not one of debug, info, warn, error, critical",
    ]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("usage_bucket", "s3.usage_bucket"),
        ("cachedir", "cache_dir"),
        ("agregation", "aggregation"),
        ("S3", "s3"),
        ("aws.acces_key", "aws.access_key_id"),
        ("s3.usage_buckets", "s3.usage_bucket"),
        ("aggregation.interval", "aggregation.usage_interval"),
        ("log_level", "log.level"),
        ("zzz", None),
    ],
)
def test_the_nearest_key_is_suggested(typo: str, meant: str | None) -> None:
    found = nearest(typo, {*KEYS, *SECTIONS} - {""})
    assert found == meant or (meant == "aggregation.usage_interval" and found == "aggregation.error_interval")


@pytest.mark.parametrize("missing", ["usage", "error", "specimen"])
def test_each_bucket_is_required(missing: str) -> None:
    text = "\n" + S3.replace(f"{missing}_bucket", f"{missing}_prefix")
    assert only(text) == f"config.yml:2:1: s3.{missing}_bucket: is required, and has no default"


def test_with_no_destination_both_ways_are_told() -> None:
    problem = only("log: {level: info}")
    assert "s3.usage_bucket, s3.error_bucket and s3.specimen_bucket" in problem
    assert "storage.directory" in problem


def test_s3_and_a_folder_exclude_each_other() -> None:
    assert only(S3 + FOLDER).startswith("config.yml:2:22: storage.directory: stands beside the s3 section")


@pytest.mark.parametrize(
    ("usage", "error", "collide"),
    [
        ("", "", True),
        ("usage", "usage/", True),
        ("usage/", "usage//", True),
        ("usage", "error", False),
        ("", "error", False),
        ("a", "a/b", False),
    ],
)
def test_usage_and_error_must_not_share_bucket_and_prefix(usage: str, error: str, collide: bool) -> None:
    text = (
        "s3: {usage_bucket: one, error_bucket: %s, specimen_bucket: one,"
        f" usage_prefix: '{usage}', error_prefix: '{error}', specimen_prefix: '{usage}'}}"
    )
    assert parsed(text % "two")
    if collide:
        assert "would have the same keys" in only(text % "one")
    else:
        assert parsed(text % "one")


@pytest.mark.parametrize(
    "name", ["ab", "Bad_Name", "-abc", "abc-", "a..b", "10.0.0.1", "xn--abc", "a" * 64, "a/b", "ümlaut"]
)
def test_bucket_names_that_aws_does_not_take(name: str) -> None:
    assert "bucket name" in only(S3.replace("two", f"'{name}'"))


def test_with_an_endpoint_older_names_are_taken() -> None:
    text = S3.replace("two", "Old_Name") + "aws: {endpoint: 'http://localhost:9000'}"
    assert parsed(text).bucket(Stream.ERROR) == "Old_Name"


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("/usage", "begins with a slash"),
        ("/", "begins with a slash"),
        ("a/../b", ". or .."),
        ("./a", ". or .."),
        ("..", ". or .."),
        ("a\\u0000b", "cannot be printed"),
        ("a\\nb", "cannot be printed"),
        ("a" * 401, "400 bytes"),
    ],
)
def test_prefixes_that_are_refused(prefix: str, says: str) -> None:
    assert says in only(S3.replace("}", f', usage_prefix: "{prefix}"}}'))


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("http://127.0.0.1:9000", True),
        ("https://s3.example.com/", True),
        ("http://[::1]:9000", True),
        ("s3.example.com", False),
        ("ftp://x", False),
        ("http://", False),
        ("http://x:99999", False),
        ("http://x?y=1", False),
        ("http://me:hunter2@x", False),
        ("http://x y", False),
    ],
)
def test_endpoints(url: str, right: bool) -> None:
    text = S3 + f"aws: {{endpoint: '{url}'}}"
    if right:
        assert parsed(text).aws.endpoint == url.rstrip("/")
    else:
        assert "hunter2" not in only(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("aws: {access_key_id: A}", "aws.access_key_id: is set without aws.secret_access_key"),
        ("aws: {secret_access_key: A}", "aws.secret_access_key: is set without aws.access_key_id"),
        ("aws: {session_token: A}", "aws.session_token: is set without"),
        ("aws: {profile: p, access_key_id: A, secret_access_key: B}", "aws.profile: is set beside static keys"),
        ("aws: {region: 'eu west'}", "aws.region: is no name of a region"),
        ("http: {max_report: 33MiB}", "http.max_report: http.max_report (33MiB) is more than http.max_batch (32MiB)"),
        (
            "http: {max_batch: 65MiB}",
            "http.max_batch: http.max_batch (65MiB) is more than spool.max_waiting_bytes (64MiB)",
        ),
        (
            "spool: {max_bytes: 100MiB}",
            "spool.max_bytes: http.max_specimen (256MiB) is more than spool.max_bytes (100MiB)",
        ),
        ("upload: {part_bytes: 4MiB}", "upload.part_bytes: must be from 5MiB to 5GiB, not 4MiB"),
        ("upload: {specimens_at_once: 0}", "upload.specimens_at_once: must be from 1 to 1000, not 0"),
        ("upload: {specimens_at_once: many}", "many is no whole number"),
        ("log: {level: Info}", "log.level: Info is not one of debug, info, warn, error, critical; did you mean info?"),
        ("log: {format: xml}", "log.format: xml is not one of auto, text, json"),
        ("hostname: 'a/b'", "hostname: is no host name"),
        ("cache_dir: ''", "cache_dir: is empty"),
        ("cache_dir: [a]", "cache_dir: takes one value, not a list or a mapping"),
        ("cache_dir: {a: b}", "cache_dir: takes one value, not a list or a mapping"),
        ("cache_dir: !secret x", "cache_dir: has a YAML tag"),
        ("cache_dir: /srv/insights/usage/x", "cache_dir: /srv/insights/usage/x lies among the objects"),
        ("cache_dir: /srv/insights", "/srv/insights is or lies in cache_dir"),
        ("cache_dir: /srv", "/srv/insights is or lies in cache_dir"),
        ("http: {listen: [[a]]}", "http.listen: takes a list of plain texts"),
        ("http: {listen: {a: b}}", "http.listen: takes a list of plain texts"),
        ("http: {listen: '[::1]:80'}", r"write tcp6:80:interface=\:\:1"),
        ("http: {listen: localhost}", "write one like tcp:8080"),
        ("aws: nonsense", "aws: holds keys of its own (aws.access_key_id, aws.ca_bundle, aws.endpoint, ...)"),
        ("[a]: b", "has a key that is not plain text"),
        ("x: &x {a: 1}\n'y': 1", "unknown key"),
        ("log: {<<: {level: debug}}", "merge keys are not taken"),
    ],
)
def test_single_mistakes(text: str, says: str) -> None:
    problems = refused(FOLDER + text)
    assert says in "\n".join(str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: b: c", "config.yml:1:5: is not YAML: mapping values are not allowed here"),
        ("a: [1", "config.yml:1:6: is not YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("s3:\n\tb: c", "config.yml:2:1: is not YAML"),
        ("a: 1\n---\nb: 2", "config.yml:2:1: is not YAML: expected a single document in the stream"),
        ("a: \x07", "config.yml:1:4: holds a character that YAML does not allow"),
        ("- a", "config.yml:1:1: is not a mapping"),
        ("text", "config.yml:1:1: is not a mapping"),
        ("a: " + "[" * 100_000, "config.yml: is nested far too deeply"),
        ("a: &a {b: *a}", "unknown key"),
        ("aws: &a {b: *a}", "unknown key"),
    ],
)
def test_what_is_not_the_right_yaml(text: str, says: str) -> None:
    assert says in "\n".join(str(problem) for problem in refused(text))


def test_yaml_that_cannot_be_read_makes_no_further_complaints() -> None:
    assert len(refused("a: [1")) == 1


def test_keys_without_a_value_keep_their_default() -> None:
    assert parsed(FOLDER + "aws:\nlog: {level: }\ncache_dir: ~") == parsed(FOLDER)


def test_a_machine_without_a_name_needs_one_set() -> None:
    (problem,) = refused(FOLDER, hostname="")
    assert str(
        problem
    ) == "config.yml: hostname: is no host name; it has letters, digits, dots, hyphens and underscores, " + (
        "begins with a letter or digit, and is at most 253 characters long"
    )
    assert parsed(FOLDER + "hostname: named", hostname="").hostname == "named"


SECRET = "wJalrXUtnFEMI/K7MDENG"
HIDING_PLACES = [
    "aws: {access_key_id: a, secret_access_key: %s}",
    "aws: {secret_access_key: %s}",
    "aws: {secret_access_key: '%s ü'}",
    "aws: {secret_access_key: *%s}",
    "aws: {secret_access_key: &%s }",
    "aws: {secret_access_key: !%s }",
    "aws: {secret_access_key: {%s: 1}}",
    "aws: {secret_access_key: [%s]}",
    "aws: {secret_acces_key: %s}",
    "aws: %s",
    "aws: {secret_access_key: '%s}",
    'aws: {secret_access_key: "%s\\q"}',
    "aws: {secret_access_key: @%s}",
    "aws: {session_token: %s, region: '%s !'}",
    "aws: {endpoint: 'http://user:%s@host'}",
    "aws: {endpoint: 'http://[%s'}",
    "aws: {profile: ' %s'}",
]


@pytest.mark.parametrize("place", HIDING_PLACES)
@pytest.mark.parametrize("secret", [SECRET, SECRET.replace("/", "")])
def test_no_message_repeats_a_secret(place: str, secret: str) -> None:
    text = place.replace("%s", secret)
    part = SECRET[:8]
    try:
        settings = parsed(FOLDER + text)
    except SettingsError as error:
        assert part not in str(error)
        assert part not in repr(error)
    else:
        assert part not in repr(settings) + str(settings) + masked_yaml(settings)


def test_no_message_repeats_a_secret_of_the_environment() -> None:
    for key in KEYS:
        if key.startswith("aws."):
            for problem in refused("", {variable(key): SECRET + " \x01"}):
                assert SECRET not in str(problem), key


def test_the_error_of_a_program_s_own_settings_repeats_no_secret() -> None:
    aws = {"secret_access_key": SECRET + " ", "region": 5, "access_key_id": [SECRET], "session": SECRET}
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"hostname": "me", "storage": {"directory": "/x"}, "aws": aws})
    assert "aws.region" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_secrets_are_masked_wherever_settings_are_shown_and_can_be_had() -> None:
    environ = {variable(f"aws.{name}"): SECRET for name in ("access_key_id", "secret_access_key", "session_token")}
    settings = parsed(FOLDER, environ)
    for text in (repr(settings), str(settings), masked_yaml(settings), repr(settings.aws), settings.model_dump_json()):
        assert SECRET not in text
    assert masked_yaml(settings).count("***") == 3
    assert reveal(settings.aws.secret_access_key) == SECRET
    assert reveal(parsed(FOLDER).aws.secret_access_key) is None


def test_settings_cannot_be_changed() -> None:
    settings = parsed(S3)
    with pytest.raises(ValidationError):
        settings.cache_dir = "/x"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.spool.max_bytes = 1  # type: ignore[misc]


def test_a_program_can_make_settings_of_its_own_under_the_same_rules() -> None:
    settings = Settings.model_validate(
        {"hostname": "me", "storage": {"directory": "/x"}, "http": {"max_report": 5, "listen": ["tcp:1"]}}
    )
    assert settings.http.max_report == 5
    assert settings.http.listen == ("tcp:1",)
    for wrong in ({}, {"http": {"max_report": -1}}, {"http": {"max_report": 1 << 29}}, {"nonsense": 1}):
        with pytest.raises(ValidationError):
            Settings.model_validate({"hostname": "me", "storage": {"directory": "/x"} if wrong else None} | wrong)


@pytest.mark.parametrize("text", [S3, FOLDER, FOLDER + "http: {listen: [tcp:1, 'unix:/x']}\nhostname: h"])
def test_the_print_out_is_yaml_that_gives_the_same_settings(text: str) -> None:
    settings = parsed(text)
    assert parsed(masked_yaml(settings)) == settings
    assert yaml.safe_load(masked_yaml(settings))["spool"]["max_bytes"] == "10GiB"


@given(st.text(max_size=200))
def test_any_text_gives_settings_or_problems(text: str) -> None:
    try:
        parsed(text)
    except SettingsError as error:
        assert error.problems
        for problem in error.problems:
            assert "\n" not in str(problem)


@quietly(deadline=None)  # how long it takes is the machine's affair
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*SECTIONS, *(key.rpartition(".")[2] for key in KEYS)]) | st.text(max_size=5),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_tree_gives_settings_or_problems(tree: object) -> None:
    try:
        parsed(yaml.safe_dump(tree))
    except SettingsError as error:
        for problem in error.problems:
            assert str(problem).isprintable()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auth: {mode: tokens}", "auth.mode tokens needs auth.tokens_file"),
        ("auth: {mode: jwt, jwt_issuer: me, jwt_keys: /k}", "auth.mode jwt needs auth.jwt_audience"),
        ("auth: {mode: jwt, jwt_audience: a, jwt_keys: /k}", "auth.mode jwt needs auth.jwt_issuer"),
        ("auth: {jwt_algorithms: [HS256]}", "a shared secret (HS256) or no signature (none) is never taken"),
        ("auth: {jwt_algorithms: none}", "none is not one of"),
        ("auth: {jwt_keys: 'http://example.com/keys'}", "is not an https URL"),
        ("auth: {jwt_keys: 'http://abc.de/keys'}", "is not an https URL"),
        ("auth: {jwt_keys: 'https://me:secret@example.com/keys'}", "has a user name or a fragment"),
        ("http: {tls: {certificate: /c}}", "http.tls.certificate: is set without http.tls.key"),
        ("http: {tls: {client_ca: /c}}", "http.tls.client_ca: is set without http.tls.certificate"),
        ("http: {tls: {certifcate: /c}}", "did you mean http.tls.certificate?"),
        ("http: {proxy_protocol: on}", "no proxy is trusted"),
        ("http: {trusted_proxies: [10.0.0.1/8]}", "write 10.0.0.0/8, or the address alone"),
        ("limits: {deny: [example.com]}", "'example.com' is no network"),
        ("limits: {user_requests: 600}", "is no rate; write it like 600/1m"),
        ("limits: {user_requests: 1MiB/1m}", "does not begin with a whole number"),
        ("limits: {user_bytes: 10MiB/5}", "write it like 100MiB/1m"),
        ("limits: {user_bytes: 0/5s}", "must be from 1 to"),
    ],
)
def test_who_may_send_and_how_much_is_checked(text: str, words: str) -> None:
    said = only(FOLDER + text)
    assert words in said.replace('"', "'")
    assert "secret@" not in said


def test_keys_two_levels_deep_are_read_and_printed() -> None:
    settings = parsed(FOLDER + "http: {tls: {certificate: c.pem, key: /k.pem}, trusted_proxies: ['::1', unix]}")
    assert (settings.http.tls.certificate, settings.http.tls.key) == ("/home/me/c.pem", "/k.pem")
    assert settings.http.trusted_proxies.names == ("::1/128", "unix")
    assert yaml.safe_load(masked_yaml(settings))["http"]["tls"]["key"] == "/k.pem"


@pytest.mark.parametrize(("text", "processes"), [("auto", 6), ("1", 1), ("3", 3)])
def test_workers_are_a_number_or_as_many_as_there_are_processors(text: str, processes: int) -> None:
    assert parsed(FOLDER + f"workers: {text}\n").processes(6) == processes


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "65"])
def test_other_numbers_of_workers_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="or auto"):
        parsed(FOLDER + f"workers: {text}\n")


def test_workers_cannot_share_an_endpoint_that_is_wrapped() -> None:
    text = FOLDER + 'http: {listen: ["ssl:443:privateKey=/k:certKey=/c"]}\n'
    assert parsed(text).workers == 1
    with pytest.raises(SettingsError, match="cannot be shared"):
        parsed(text + "workers: 2\n")


@pytest.mark.parametrize(
    "text",
    [
        "auth: {mode: tokens, tokens_file: /t}",
        "auth: {mode: jwt, jwt_issuer: me, jwt_audience: [us], jwt_keys: /k}",
        "limits: {allow: [192.0.2.0/24], deny: [192.0.2.7], max_tracked: 1000}",
        "limits: {user_requests: 5/1s, daily_error_bytes: 5MiB}",
        "audit: {file: /a}",
        "http: {tls: {certificate: /c, key: /k}}",
        "http: {proxy_protocol: on, trusted_proxies: [192.0.2.7]}",
        "http: {trusted_proxies: [192.0.2.7]}",
    ],
)
def test_what_each_worker_can_decide_by_itself_is_for_several(text: str) -> None:
    settings = parsed(FOLDER + "workers: 2\n" + text)
    # and a worker, which is handed the settings as text, sees the same
    assert parse_settings(masked_yaml(settings), "the gateway", {}, cwd="/", hostname="machine") == settings
