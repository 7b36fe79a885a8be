"""A Twisted application of one's own that hosts the gateway beside its other pages.

Run it with:  python examples/embedded.py CONFIG.yml PORT
Then send:    curl -X PUT -H 'User-Token: alice' --data-binary '{"files": 12}' http://localhost:PORT/insights/usage
"""

from __future__ import annotations

import sys

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import Site

from lf6gateway import GatewayService, gateway_resource, load_settings


class Front(Resource):
    """The host application's own page."""

    isLeaf = False

    def getChild(self, path: bytes, request: object) -> Resource:
        return self if path == b"" else super().getChild(path, request)

    def render_GET(self, request: object) -> bytes:
        return b"the host application\n"


def main(config: str, port: int) -> None:
    application = MultiService()
    gateway = GatewayService(load_settings(config))
    gateway.setServiceParent(application)

    root = Front()

    def serve(_: object) -> None:
        root.putChild(b"insights", gateway_resource(gateway))
        TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(Site(root)).addCallback(
            lambda listening: print(f"listening on {listening.getHost().port}", flush=True)
        )

    def fail(failure: object) -> None:
        print(f"the gateway cannot start: {failure}", file=sys.stderr)
        reactor.stop()

    gateway.started.addCallbacks(serve, fail)
    # Everything is shipped before the reactor ends: stopService fires when that is done.
    reactor.addSystemEventTrigger("before", "shutdown", application.stopService)
    reactor.callWhenRunning(application.startService)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
