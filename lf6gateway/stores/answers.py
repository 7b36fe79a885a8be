"""What an answer of S3 says: its XML and its headers as plain values. Owns that reading, and the doubt whether S3 said
it at all; must never send a request, nor decide what to do about an error."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote_plus

from attrs import frozen

from lf6gateway.stores.metadata import metadata_of
from lf6gateway.stores.store import Listed, Present
from lf6gateway.values.failure import Kind, StoreError


@frozen
class Answer:
    """A success: status, headers with lower-case names, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def xml(body: bytes) -> ElementTree.Element | None:
    """The root of an XML document, or ``None`` where it is none. Blanks before it are no obstacle: a store that works
    long sends them to keep the connection."""
    try:
        return ElementTree.fromstring(body.lstrip(b" \t\r\n"))  # noqa: S314 - bounded, from the configured store
    except (ElementTree.ParseError, LookupError, ValueError):
        # The latter two come of an encoding that Python has not heard of, or that expat cannot take.
        return None


def local(element: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def holds_error(body: bytes) -> bool:
    """Whether the body is an ``<Error>``, which S3 can put behind the status 200 of what took it long."""
    root = xml(body)
    return root is not None and local(root) == "Error"


def doubt(method: str, encoding: str, body: bytes) -> str:
    """Why an answer with a status of success to a request is none of S3's; empty where nothing speaks against it.

    :param encoding: its ``Content-Encoding``.
    """
    if method == "HEAD" or not body.strip():
        return ""
    if encoding.lower() not in ("", "identity", "aws-chunked"):
        return f"it is packed ({encoding[:50]}), which was not asked for"
    if method == "GET":
        return ""  # whoever asked knows what must come
    root = xml(body)
    if root is None:
        return f"it is not XML: {shown(body)}"
    if local(root).lower() == "html":
        return "it is a page, as of a proxy"
    return ""


def shown(body: bytes) -> str:
    """The beginning of a body, for an operator."""
    return repr(body[:80])


def tree(body: bytes, name: str) -> ElementTree.Element:
    """The root of an answer, which must have that name.

    :raises StoreError: it has another, or is no XML.
    """
    root = xml(body)
    if root is None or local(root) != name:
        raise StoreError(Kind.TRANSIENT, "read the store's answer", f"it is no {name}: {shown(body)}")
    return root


def text(body: bytes, name: str) -> str:
    """The text of the first child of that name; empty where there is none."""
    root = xml(body)
    return "" if root is None else child(root, name)


def child(element: ElementTree.Element, name: str) -> str:
    """The text of an element's first child of that name; empty where there is none."""
    return next(((one.text or "") for one in element if local(one) == name), "")


def children(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """An element's children of that name."""
    return [one for one in root if local(one) == name]


def listed_key(root: ElementTree.Element, written: str) -> str:
    """A key of a list. Lists are asked for with ``encoding-type=url``, for XML cannot hold every key; a store that does
    so says so."""
    return unquote_plus(written) if child(root, "EncodingType") == "url" else written


def listed_object(root: ElementTree.Element, one: ElementTree.Element) -> Listed:
    """An object of a list.

    :param root: the whole list.
    :param one: its ``Contents`` element.
    :raises StoreError: it is no object of S3's.
    """
    size = child(one, "Size").strip()
    key = listed_key(root, child(one, "Key"))
    if not key or not (size.isascii() and size.isdigit()):
        detail = f"the list shows no object: {key[:80]!r} of {size[:20]!r} bytes"
        raise StoreError(Kind.TRANSIENT, "list objects", detail)
    return Listed(key, int(size), child(one, "ETag").strip(), moment_ns(child(one, "LastModified")))


def may_be_key(written: str, key: str) -> bool:
    """Whether what a list of uploads has can be that key: Ceph encodes there, and does not say so. One that is taken
    for another costs nothing, for an upload can be given up only under its own key."""
    return key in (written, unquote_plus(written))


def moment_ns(written: str) -> int:
    """A point in time in nanoseconds since 1970; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(written.strip()).timestamp() * 1_000_000_000)
    except ValueError:
        return 0


def present_of(answer: Answer, what: str) -> Present:
    """The object that an answer to HEAD shows.

    :raises StoreError: it shows none: no S3 answered.
    """
    etag = answer.headers.get("etag", "").strip()
    length = answer.headers.get("content-length", "").strip()
    if not etag or not (length.isascii() and length.isdigit()):
        raise StoreError(
            Kind.TRANSIENT, what, f"the answer shows no object: ETag {etag[:80]!r}, Content-Length {length[:80]!r}"
        )
    return Present(etag, int(length), metadata_of(answer.headers))
