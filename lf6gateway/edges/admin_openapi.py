"""The description of both listeners as OpenAPI has it: that of the public port, which lies beside this module, and
behind it the operators' paths, with shapes made from the values themselves. Owns the joining alone."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import msgspec
import yaml

from lf6gateway.values.history import DAY, Minutes
from lf6gateway.values.status import Status

PUBLIC: Final = "openapi.yml"
_REF: Final = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """The whole of it. Blocks: it reads a file."""
    text = resources.files("lf6gateway.edges").joinpath(PUBLIC).read_text(encoding="utf-8")
    whole: dict[str, Any] = yaml.safe_load(text)
    (status, minutes), shapes = msgspec.json.schema_components([Status, Minutes], ref_template=_REF)
    components = whole["components"]
    components["schemas"].update(shapes)
    components["securitySchemes"]["adminToken"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "admin.token; where that is not set, nothing is asked for.",
    }
    whole["tags"].append({"name": "operating", "description": "On the listener of admin.listen alone."})
    whole["paths"].update(
        {
            "/metrics": _path(
                "getMetrics",
                "All figures, in the form that the asking Prometheus prefers",
                {
                    "text/plain": {"schema": {"type": "string"}},
                    "application/openmetrics-text": {"schema": {"type": "string"}},
                },
            ),
            "/status": _path("getStatus", "All that is known of the gateway", {"application/json": {"schema": status}}),
            "/history": _path(
                "getHistory",
                "What each of the last minutes was like, the oldest first",
                {"application/json": {"schema": minutes}},
                parameters=[
                    {
                        "name": "minutes",
                        "in": "query",
                        "schema": {"type": "integer", "minimum": 1, "maximum": DAY, "default": 180},
                    }
                ],
                also={"400": {"$ref": "#/components/responses/Problem"}},
            ),
            "/openapi.json": _path("getOpenApi", "This document", {"application/json": {"schema": {"type": "object"}}}),
        }
    )
    return whole


def _path(
    name: str,
    summary: str,
    content: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    also: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A path of the operators' listener."""
    answers = {
        "200": {"description": "It is in the body.", "content": content},
        "401": {"$ref": "#/components/responses/Problem"},
        "421": {"$ref": "#/components/responses/Problem"},
        "503": {"$ref": "#/components/responses/Problem"},
    }
    asked = {
        "tags": ["operating"],
        "summary": summary,
        "security": [{}, {"adminToken": []}],
        "parameters": parameters or [],
        "responses": answers | (also or {}),
    }
    return {
        "servers": [{"url": "http://127.0.0.1:9606", "description": "admin.listen"}],
        "get": {**asked, "operationId": name},
        "head": {**asked, "operationId": name.replace("get", "head", 1)},
    }
