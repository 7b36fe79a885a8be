"""The client of lf6gateway: hands usage reports, error reports and specimens over to a gateway, each once, through a
queue on disk that outlives the program. It stands beside the gateway and uses none of it, nor Twisted, save for
``lf6gateway.client.twisted``."""

from __future__ import annotations

from lf6gateway.client.events import Event, Statistics
from lf6gateway.client.failures import ClientError, Closed, NotSendable, QueueFailed, QueueFull
from lf6gateway.client.options import Options
from lf6gateway.client.sync import Client

__all__ = [
    "Client",
    "ClientError",
    "Closed",
    "Event",
    "NotSendable",
    "Options",
    "QueueFailed",
    "QueueFull",
    "Statistics",
]
