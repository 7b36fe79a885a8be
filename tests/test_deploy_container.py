"""The files for containers are right by the rules of those who read them, and fit the program and each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_source import ENV_PREFIX
from tests.dockerfile import DOCKERFILE, all_of

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "deploy" / "docker" / "compose.yml"
KUBERNETES = ROOT / "deploy" / "kubernetes" / "gateway.yml"
VOLUME = "/var/lib/lightfile6-insights-gateway"
GIB = 1024**3


def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def resources(kind: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(KUBERNETES.read_text()) if one["kind"] == kind]


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not there: its package has no build for this machine")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_in_stages_pinned_and_runs_as_nobody_in_particular() -> None:
    assert len(all_of("FROM")) == 2
    assert any("-c constraints.txt" in run for run in all_of("RUN"))
    (user,) = all_of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert json.loads(all_of("VOLUME")[0]) == [VOLUME]


def test_what_is_copied_into_the_image_is_there_and_let_through() -> None:
    let_through = {
        line[1:] for line in (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = {name for rest in all_of("COPY") if not rest.startswith("--from") for name in rest.split()[:-1]}
    assert copied == let_through
    for name in copied:
        assert (ROOT / name).exists(), name


def test_the_compose_file_is_one_by_the_schema_of_the_specification() -> None:
    schema = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(composed())] == []
    wrong = composed()
    wrong["services"]["gateway"]["port"] = ["8080"]
    assert list(validator.iter_errors(wrong))


def test_the_compose_file_configures_the_gateway() -> None:
    gateway = composed()["services"]["gateway"]
    settings = parse_settings("", "-", gateway["environment"], cwd="/", hostname="h")
    assert all(name.startswith(ENV_PREFIX) for name in gateway["environment"])
    assert float(gateway["stop_grace_period"].rstrip("s")) > settings.shutdown.deadline.seconds + 10
    assert gateway["read_only"]
    assert gateway["volumes"] == [f"spool:{VOLUME}"]
    s3 = composed()["services"]["s3"]["environment"]
    assert settings.aws.access_key_id is not None
    assert settings.aws.access_key_id.get_secret_value() == s3["ROOT_ACCESS_KEY"]


def test_the_kubernetes_resources_are_right_by_its_schemas() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    found = list(yaml.safe_load_all(KUBERNETES.read_text()))
    for version in ("1.30", validate.latest_version()):
        for one in found:
            validate.validate(one, version, strict=True)
    found[-1]["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(found[-1], "1.30", strict=True)


def test_a_pod_has_time_to_ship_everything_and_room_for_its_spool() -> None:
    (config,) = resources("ConfigMap")
    settings = parse_settings(config["data"]["config.yml"], "config.yml", {}, cwd="/", hostname="h")
    assert settings.cache_dir == VOLUME
    (stateful,) = resources("StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > before + settings.shutdown.deadline.seconds + 10
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * GIB
    assert size * 0.95 > settings.spool.max_bytes + settings.spool.min_free_bytes
    assert {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}["spool"] == VOLUME


def test_a_pod_is_probed_confined_and_found() -> None:
    (stateful,) = resources("StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == all_of("USER")[0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    headless = [one for one in resources("Service") if one["spec"].get("clusterIP") == "None"]
    assert [one["metadata"]["name"] for one in headless] == [stateful["spec"]["serviceName"]]
    for one in resources("Service"):
        assert one["spec"]["selector"].items() <= labels.items()
    (budget,) = resources("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
