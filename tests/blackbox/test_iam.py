"""The rights in ``deploy/iam/policy.json`` are enough, as moto's own reading of policies has it, and none is there that
the gateway makes no use of; the bucket's settings are taken by S3."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.blackbox.gateway import HERE, Gateway, S3Server, eventually, records

RIGHTS = HERE / "deploy" / "iam"
POLICY: dict[str, Any] = json.loads((RIGHTS / "policy.json").read_text())
REQUEST = re.compile(r'"([A-Z]+) /insights(?:/([^ ?"]*))?(?:\?([^ "]*))? HTTP/1\.1" (\d+)')
COLOURS = re.compile("\x1b\\[[0-9;]*m")
MIB = 1024 * 1024


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions() -> set[str]:
    return {action for statement in POLICY["Statement"] for action in listed(statement["Action"])}


def allowed(action: str, resource: str) -> bool:
    return any(
        action in listed(statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        for statement in POLICY["Statement"]
    )


def needed(method: str, key: str, query: str) -> tuple[str, str]:
    """The action that a request needs, and on what: the tables of the Amazon S3 API reference."""
    if not key:
        action = "s3:ListBucketMultipartUploads" if "uploads" in query.split("&")[-1] else "s3:ListBucket"
        return action, "arn:aws:s3:::insights"
    if method in ("GET", "HEAD"):
        action = "s3:GetObject"
    elif method == "DELETE":
        action = "s3:AbortMultipartUpload" if "uploadId=" in query else "s3:DeleteObject"
    else:
        assert method in ("PUT", "POST"), method
        action = "s3:PutObject"
    return action, f"arn:aws:s3:::insights/{key}"


class Guarded(S3Server):
    """moto's server with one user, who has our policy."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "insights")
        self.log = folder / "s3.log"
        keys = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": "us-east-1"}
        iam = boto3.client("iam", endpoint_url=self.url, **keys)
        iam.create_user(UserName="gateway")
        iam.put_user_policy(UserName="gateway", PolicyName="rights", PolicyDocument=json.dumps(POLICY))
        made = iam.create_access_key(UserName="gateway")["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]

    def guard(self, guarded: bool) -> None:
        """From now on policies count; or not."""
        body = b"0" if guarded else b"1000000"
        plain = {"Content-Type": "text/plain"}
        asked = urllib.request.Request(f"{self.url}/moto-api/reset-auth", body, plain, method="POST")
        urllib.request.urlopen(asked).close()

    def requests(self, since: int) -> list[tuple[str, str, str, int]]:
        text = COLOURS.sub("", self.log.read_bytes()[since:].decode())
        return [(method, key, query, int(status)) for method, key, query, status in REQUEST.findall(text)]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    server = Guarded(tmp_path)
    yield server
    server.stop()


def test_the_policy_is_enough_and_no_more(guarded: Guarded, tmp_path: Path) -> None:
    s3 = {
        f"{stream}_{what}": name
        for stream in ("usage", "error", "specimen")
        for what, name in (("bucket", "insights"), ("prefix", stream))
    }
    aws = {
        "endpoint": guarded.url,
        "access_key_id": guarded.key,
        "secret_access_key": guarded.secret,
        "region": "us-east-1",
    }
    daemon = Gateway(tmp_path / "gateway", aws=aws, s3=s3, upload={"part_bytes": "5MiB"})
    begun = guarded.log.stat().st_size
    guarded.guard(True)
    try:
        check = Path(sys.executable).with_name("lf6gateway")
        done = subprocess.run([check, "check", "-c", daemon.config], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        daemon.start()
        assert daemon.put("/usage", b'{"n":1}') == 204
        assert daemon.put("/error", b'{"n":2}') == 204
        assert daemon.put("/specimen?uri=small.png", b"small") == 204
        assert daemon.put("/specimen?uri=large.bin", b"x" * (21 * MIB)) == 204
        eventually(
            lambda: (
                any(one[0] == "PUT" and one[1].startswith("usage/2") for one in guarded.requests(begun))
                and not any(name.endswith(".spec") for name in daemon.waiting_files())
            )
        )
        guarded.pause()
        assert daemon.put("/specimen?uri=later.bin", b"x" * (21 * MIB)) == 204
        daemon.kill()  # so that the next start looks for parts that this one may have left
        guarded.resume()
        daemon.start()
        assert daemon.put("/usage", b'{"n":3}') == 204  # the object of the hour grows
        assert daemon.stop() == 0
    finally:
        daemon.clean_up()
    assert not [path for path in daemon.waiting_files() if path.endswith(".spec")]

    asked = guarded.requests(begun)
    refused = [one for one in asked if one[3] == 403]
    assert refused == []
    used = {needed(method, key, query) for method, key, query, _ in asked}
    for action, resource in used:
        assert allowed(action, resource), (action, resource)
    # Its own listing is never asked for; but without this right S3 says «denied» of what is not there.
    assert {action for action, _ in used} | {"s3:ListBucket"} == actions()
    assert {resource.rpartition("/")[0] for action, resource in used if action == "s3:DeleteObject"} == {
        f"arn:aws:s3:::insights/{stream}/_lf6gateway" for stream in ("usage", "error", "specimen")
    }

    user = boto3.client(
        "s3",
        endpoint_url=guarded.url,
        aws_access_key_id=guarded.key,
        aws_secret_access_key=guarded.secret,
        region_name="us-east-1",
    )
    (key,) = [key for _, key, _, _ in asked if key.startswith("usage/2") and key.endswith(".gz")][:1]
    for act in (
        lambda: user.delete_object(Bucket="insights", Key=key),
        lambda: user.put_object(Bucket="insights", Key="elsewhere/a", Body=b""),
        lambda: user.delete_bucket(Bucket="insights"),
        lambda: user.list_buckets(),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            act()

    guarded.guard(False)
    objects = guarded.objects("insights")
    assert [one["n"] for one in records(objects, "usage/")] == [1, 3]
    assert len([key for key in objects if key.startswith("specimen/alice/")]) == 3


def test_the_settings_of_the_bucket_are_taken(guarded: Guarded) -> None:
    client = guarded.client

    def setting(name: str) -> Any:
        return json.loads((RIGHTS / name).read_text())

    client.put_bucket_lifecycle_configuration(Bucket="insights", LifecycleConfiguration=setting("lifecycle.json"))
    rules = client.get_bucket_lifecycle_configuration(Bucket="insights")["Rules"]
    assert [rule.get("AbortIncompleteMultipartUpload") for rule in rules] == [{"DaysAfterInitiation": 7}, None]
    client.put_bucket_encryption(Bucket="insights", ServerSideEncryptionConfiguration=setting("encryption.json"))
    client.put_public_access_block(Bucket="insights", PublicAccessBlockConfiguration=setting("public-access.json"))
    client.put_bucket_policy(Bucket="insights", Policy=json.dumps(setting("bucket-policy.json")))
