"""What can go wrong for whoever hands something over. Owns the exceptions' names; must never be raised for what the
network does, which the client bears by itself."""

from __future__ import annotations


class ClientError(Exception):
    """Something was not taken; the text says why and what to do."""


class NotSendable(ClientError, ValueError):
    """What was handed over can never be sent: it is no JSON, or too long."""


class QueueFull(ClientError):
    """The queue holds as much as it may, or memory does for a disk that is behind; nothing of it was kept."""


class QueueFailed(ClientError):
    """The queue's disk failed, or was too slow; nothing of it was kept."""


class Closed(ClientError):
    """The client is closed."""
