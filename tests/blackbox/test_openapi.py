"""The public endpoints are what ``docs/openapi.yml`` says: each operation is asked many things, right and wrong, on the
real daemon, and each answer is compared with the document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.blackbox.gateway import Gateway

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yml"
LOOK = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
COMPARED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def asking(seen: set[int], checks: list[Any]) -> Callable[[Any], None]:
    """Asks one thing, compares the answer, and notes its status."""

    def ask(case: Any) -> None:
        seen.add(case.call_and_validate(checks=checks, timeout=30).status_code)

    return ask


def test_each_answer_is_one_that_the_document_has(gateway: Callable[..., Gateway]) -> None:
    load_all_checks()
    checks = [CHECKS.get_one(name) for name in COMPARED]
    daemon = gateway().start()
    schema: Any = schemathesis.openapi.from_dict(yaml.safe_load(DOCUMENT.read_text()))
    schema.config.update(base_url=f"http://127.0.0.1:{daemon.port}")
    asked: dict[str, dict[GenerationMode, set[int]]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode, headers={"User-Token": "alice"})
            seen = asked.setdefault(operation.label, {}).setdefault(mode, set())

            try:
                LOOK(given(strategy)(asking(seen, checks)))()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.label  # nothing can be wrong where nothing is taken
    sending = {f"{method} {path}" for method in ("PUT", "POST") for path in ("/usage", "/error", "/specimen")}
    assert set(asked) == sending | {f"{method} {path}" for method in ("GET", "HEAD") for path in ("/health", "/ready")}
    for label, modes in asked.items():
        right = modes[GenerationMode.POSITIVE]
        assert (204 if label in sending else 200) in right, (label, right)
        assert right <= ({204, 400} if label in sending else {200}), (label, right)
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert "Traceback" not in log


def test_every_kind_of_refusal_is_in_the_document(gateway: Callable[..., Gateway]) -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    daemon = gateway(http={"max_report": "1KiB", "max_batch": "2KiB"}).start()
    answers = document["paths"]["/usage"]["put"]["responses"]
    for status, asked in {
        400: {"body": b"{"},
        401: {"body": b"1", "user": None},
        413: {"body": b"1" * 2000},
        415: {"body": b"1", "Content_Encoding": "br"},
        431: {"body": b"1", "X": "x" * 40_000},
    }.items():
        found, headers, body = daemon.request("PUT", "/usage", **asked)
        assert found == status and str(status) in answers
        assert headers["content-type"] == "application/problem+json"
        assert set(document["components"]["schemas"]["Problem"]["required"]) <= set(yaml.safe_load(body))
