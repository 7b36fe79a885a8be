"""moto's S3 server with a disk behind it, so that it may be killed as well: what it answered for is there again.

    python -m tests.campaigns.lasting_s3 PORT FOLDER BUCKET…

One request at a time changes anything, so that its conditions hold; and a body that did not come whole changes nothing."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

_ACCOUNT = "123456789012"


class Lasting:
    """Wraps moto's application; each key is a file in a folder."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], folder: Path, buckets: list[str]) -> None:
        self._inner = inner
        self._folder = folder
        self._guard = threading.Lock()
        self._backend = s3_backends[_ACCOUNT]["aws"]
        for bucket in buckets:
            self._backend.create_bucket(bucket, "us-east-1")
        for path in sorted(folder.glob("*.key"), key=lambda one: one.stat().st_mtime_ns):
            key = pickle.loads(path.read_bytes())
            self._backend.get_bucket(key.bucket_name).keys[key.name] = key

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._inner(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            start_response("400 Bad Request", [("Content-Length", "0"), ("Connection", "close")])
            return []
        environ["wsgi.input"] = io.BytesIO(body)
        with self._guard:
            answer = list(self._inner(environ, start_response))
            self._keep(environ["PATH_INFO"])
        return answer

    def _keep(self, path: str) -> None:
        bucket, _, name = path.encode("latin-1").decode("utf-8").lstrip("/").partition("/")
        if not name or bucket not in self._backend.buckets:
            return
        key = self._backend.get_bucket(bucket).keys.get(name)
        file = self._folder / (hashlib.sha256(path.encode()).hexdigest() + ".key")
        if key is None:
            file.unlink(missing_ok=True)
            return
        key.etag  # noqa: B018 - computed now, while the parts that a multipart one is of are there
        parts, key.multipart = key.multipart, None
        temporary = file.with_suffix(".tmp")
        temporary.write_bytes(pickle.dumps(key))
        key.multipart = parts
        os.rename(temporary, file)


def main() -> None:
    port, folder, *buckets = sys.argv[1:]
    os.environ.setdefault("MOTO_PORT", port)
    application = Lasting(DomainDispatcherApplication(create_backend_app), Path(folder), buckets)
    run_simple("127.0.0.1", int(port), application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
