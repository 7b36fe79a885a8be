"""The header by which a store can see that an upload arrived as it was sent. Owns its names and spelling; must never
compute a digest, nor choose among them.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html"""

from __future__ import annotations

import base64

from lf6gateway.stores.producer import Digests


def checksum_headers(kind: str | None, found: Digests) -> dict[str, str]:
    """The integrity header of an upload."""
    if kind == "sha256":
        return {"x-amz-checksum-sha256": base64.b64encode(found.sha256_raw).decode()}
    if kind == "crc32c":
        return {"x-amz-checksum-crc32c": base64.b64encode(found.crc32c).decode()}
    if kind == "md5":
        return {"Content-MD5": base64.b64encode(found.md5).decode()}
    return {}
