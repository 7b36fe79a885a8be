"""Where a request is meant for: the path and query of its target, and the endpoint at that path in a tree of resources.
Owns the reading of targets; must never look at anything else of a request."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from twisted.web.resource import IResource, Resource

from lf6gateway.edges.endpoints import Door, Nothing
from lf6gateway.edges.message import Endpoint
from lf6gateway.edges.resources import EndpointResource, GatewayResource

NOTHING: Final = Nothing()
"""What is at every path that nobody has."""

WORTH_READING: Final = 64 * 1024
"""Up to this many bytes, the rest of a refused body is read and dropped to keep its connection."""


def origin_form(target: bytes) -> bytes:
    """The path and query of a request target, which a proxy may send as a whole URL."""
    for scheme in (b"http://", b"https://"):
        if target[: len(scheme)].lower() == scheme:
            authority, slash, rest = target[len(scheme) :].partition(b"/")
            return slash + rest if slash else b"/" + authority[len(authority.partition(b"?")[0]) :]
    return target


def segments(path: bytes) -> list[bytes]:
    """The parts of a path, as twisted.web takes them."""
    if b"%" in path:
        return [unquote_to_bytes(part) for part in path[1:].split(b"/")]
    return path[1:].split(b"/")


def endpoint_at(root: IResource, path: bytes) -> tuple[Endpoint, Door] | None:
    """The endpoint at a path, and its door; ``None`` if only twisted.web can tell, because resources of somebody else's
    are on the way and may want to see the request."""
    resource = root
    parts = segments(path)
    for part in parts:
        if type(resource) is EndpointResource:
            return NOTHING, resource.door
        if not isinstance(resource, Resource) or resource.isLeaf:
            return None
        child = resource.children.get(part)
        if child is None:
            return (NOTHING, resource.door) if type(resource) is GatewayResource else None
        if type(resource).getChildWithDefault is not Resource.getChildWithDefault:
            return None
        resource = child
    if type(resource) is EndpointResource:
        return resource.endpoint if path[:1] == b"/" else NOTHING, resource.door
    return (NOTHING, resource.door) if type(resource) is GatewayResource else None
