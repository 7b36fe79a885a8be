"""The reference points that are servers: twisted.web without anything of ours. Owns nothing but these.

    python -m bench.reference discard          a handler that throws the body away
    python -m bench.reference file FOLDER      one file a request, written and never synced, as the original does

Each prints its port in a line once it listens."""

from __future__ import annotations

import os
import sys
import time
from typing import Any
from uuid import uuid4

from twisted.internet import reactor as running
from twisted.web.resource import Resource
from twisted.web.server import Site

reactor: Any = running


class Discard(Resource):
    isLeaf = True

    def render_PUT(self, request: Any) -> bytes:
        request.setResponseCode(204)
        return b""


class Filing(Resource):
    isLeaf = True

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def render_PUT(self, request: Any) -> bytes:
        with open(os.path.join(self.folder, f"{time.time_ns()}-{uuid4().hex}.json"), "wb") as file:
            file.write(request.content.read())
        request.setResponseCode(204)
        return b""


def main() -> None:
    resource = Discard() if sys.argv[1] == "discard" else Filing(sys.argv[2])
    port = reactor.listenTCP(0, Site(resource), backlog=4096, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
