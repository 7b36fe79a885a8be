"""lf6gateway: takes usage reports, error reports and specimens over HTTP, and delivers them to S3, each once.

This is the public face, for those who embed the gateway in a Twisted application of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lf6gateway.version import __version__

if TYPE_CHECKING:
    from lf6gateway.disk.settings_file import load_settings
    from lf6gateway.edges.admin import admin_resource
    from lf6gateway.edges.mounting import gateway_resource
    from lf6gateway.services.gateway import GatewayService

__all__ = ["GatewayService", "__version__", "admin_resource", "gateway_resource", "load_settings"]

_HOMES = {
    "GatewayService": "lf6gateway.services.gateway",
    "admin_resource": "lf6gateway.edges.admin",
    "gateway_resource": "lf6gateway.edges.mounting",
    "load_settings": "lf6gateway.disk.settings_file",
}


def __getattr__(name: str) -> Any:
    # Only what is asked for is imported: twistd loads this package for its help text alone.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
