"""The gateway's endpoints for any site: its own, or that of an application that hosts it. Owns nothing."""

from __future__ import annotations

from lf6gateway.edges import resources
from lf6gateway.edges.guard import set_guard
from lf6gateway.services.gateway import GatewayService
from lf6gateway.values.limits import Limits


def gateway_resource(gateway: GatewayService) -> resources.GatewayResource:
    """The endpoints of a gateway that has started, as a resource to mount anywhere in a twisted.web site.

    :raises RuntimeError: the gateway has not started; wait for its ``started``.
    """
    made = resources.gateway_resource(gateway.receiver, Limits.of(gateway.settings), gateway.assembly.decode_threads)
    made.door.log_requests = gateway.settings.log.level == "debug"
    made.door.traffic = gateway.traffic
    set_guard(made.door, gateway.access)
    return made
