"""What is shipped for Prometheus and Grafana asks only for metrics and labels that the running gateway has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blackbox.gateway import Gateway, eventually
from tests.blackbox.test_admin import metrics, send_some

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "lf6gateway.json"
HANDBOOK = Path(__file__).parents[2] / "docs" / "watching.md"
SELECTED = re.compile(r"\b(lf6gateway_\w+|process_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
ADDED = {"instance", "job"}
"""Labels that Prometheus adds."""
LATER = {"lf6gateway_alerts", "lf6gateway_last_success_timestamp_seconds", "lf6gateway_connections_refused_total"}
LATER |= {"lf6gateway_access_refused_total", "lf6gateway_http_requests_aborted_total"}
"""Metrics that have samples only once something has happened; that they are there, their help says."""
LABELS = {"lf6gateway_alerts": {"alert", "severity", "state"}, "lf6gateway_connections_refused_total": {"reason"}}
LABELS |= {"lf6gateway_access_refused_total": {"reason"}, "lf6gateway_http_requests_aborted_total": {"stream"}}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    dashboard = json.loads(DASHBOARD.read_text())
    yield from (one["expr"] for one in dashboard["annotations"]["list"])


def test_every_name_and_label_is_one_that_the_gateway_has(tmp_path: Path) -> None:
    daemon = Gateway(tmp_path / "gateway", storage={"directory": str(tmp_path / "objects")}).start()
    try:
        send_some(daemon)
        eventually(lambda: ("lf6gateway_shipped_objects_total", frozenset({("stream", "specimen")})) in metrics(daemon))
        found: dict[str, set[str]] = {name: set(labels) for name, labels in LABELS.items()}
        for name, labels in metrics(daemon):
            found.setdefault(name, set()).update(label for label, _ in labels)
        helped = set(re.findall(r"^# HELP (\w+)", daemon.ask("/metrics")[2].decode(), re.MULTILINE))
        assert helped >= LATER
    finally:
        daemon.clean_up()
    found |= {name: found.get(name, {"stream"}) for name in LATER} | {"up": set()}
    asked = set()
    for text in expressions():
        plain = re.sub(r'"[^"]*"', '""', text)
        assert plain.count("(") == plain.count(")") and plain.count("{") == plain.count("}"), text
        known = set(ADDED)
        for name, matchers in SELECTED.findall(text):
            assert name in found, f"{name} in: {text}"
            asked.add(name)
            known |= found[name]
            for label in MATCHER.findall(matchers):
                assert label in found[name] | ADDED, f"{name} has no label {label}, in: {text}"
        for labels in GROUPED.findall(text):
            for label in labels.split(","):
                assert not label.strip() or label.strip() in known, f"{label.strip()} in: {text}"
    assert len(asked) > 30


def test_every_label_in_words_is_one_that_is_left() -> None:
    for rule in rules():
        words = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", words):
            assert label in ADDED | {"stream"}, rule["alert"]
            assert label != "stream" or "sum" not in rule["expr"], rule["alert"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    said = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    every = [target["expr"] for panel in panels() for target in panel["targets"]]
    recorded = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, text in enumerate(every)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    said = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    def series(name: str, values: str, **labels: str) -> dict[str, str]:
        text = ",".join(
            f'{label}="{value}"' for label, value in {"instance": "a", "job": "lf6gateway", **labels}.items()
        )
        return {"series": f"{name}{{{text}}}", "values": values}

    def fires(alert: str, *given: dict[str, str], at: str = "30m") -> dict[str, Any]:
        """One alert of that name fires then. Its words are not compared: they have figures in them."""
        expr = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
        samples = [{"labels": "{}", "value": 1}]
        return {
            "name": alert,
            "interval": "1m",
            "input_series": list(given),
            "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": samples}],
        }

    interval = series("lf6gateway_aggregation_interval_seconds", "600x60", stream="usage")
    tests = [
        fires("Lf6gatewayNotReady", series("lf6gateway_ready", "0x60")),
        fires(
            "Lf6gatewayRecordsWait",
            interval,
            series("lf6gateway_oldest_record_age_seconds", "2000x60", stream="usage"),
            series("lf6gateway_oldest_record_age_seconds", "1700x60", stream="error"),
        ),
        fires("Lf6gatewayStoreFailing", series("lf6gateway_store_failing_seconds", "301x60", stream="usage")),
        fires("Lf6gatewayQuarantine", series("lf6gateway_quarantine_files", "1x60")),
        fires("Lf6gatewayDiskFailing", series("lf6gateway_disk_failing", "1x60")),
        fires(
            "Lf6gatewaySpoolFilling",
            series("lf6gateway_spool_bytes", "81x60"),
            series("lf6gateway_spool_limit_bytes", "100x60"),
        ),
        fires(
            "Lf6gatewayAnswersFail",
            series("lf6gateway_http_requests_total", "0+10x60", stream="usage", code="204"),
            series("lf6gateway_http_requests_total", "0+1x60", stream="usage", code="503"),
        ),
        fires(
            "Lf6gatewayErrorSurge",
            series("lf6gateway_records_received_total", "0+1x120 121+2000x30", stream="error"),
            at="150m",
        ),
        fires("Lf6gatewayWorkersDie", series("lf6gateway_worker_deaths_total", "0+1x60")),
    ]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    said = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_rule_is_explained_with_its_remedy() -> None:
    handbook = HANDBOOK.read_text()
    for rule in rules():
        assert f"`{rule['alert']}`" in handbook, rule["alert"]
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]


def test_the_panels_are_apart_and_named() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
        assert panel["title"] and place["x"] + place["w"] <= 24
    identities = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(identities) == len(set(identities))
