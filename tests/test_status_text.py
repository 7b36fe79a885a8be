"""What the command ``status`` shows of what ``/status`` says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lf6gateway.edges.commands import refusal
from lf6gateway.edges.commands import status as command
from lf6gateway.values.settings_admin import Admin
from lf6gateway.values.status_text import status_lines, troubles
from tests.status_samples import status


def facts(**asked: Any) -> Any:
    return json.loads(msgspec.json.encode(status(**asked)))


def test_all_is_well_only_where_data_are_taken_and_no_alert_is_firing() -> None:
    well = facts(ready=True, failing_s=0.0, trouble=False)
    assert troubles(well) == []
    assert "all is well" in next(iter(status_lines(well)))
    refused = facts(ready=False, failing_s=0.0, trouble=False)
    assert len(troubles(refused)) == 1 and troubles(refused)[0].startswith("takes no data: ")
    alerted = facts(ready=True, trouble=True)
    assert troubles(alerted) and "not all is well" in next(iter(status_lines(alerted)))


def test_a_store_that_fails_is_told_with_its_remedy() -> None:
    text = "\n".join(status_lines(facts(text="the reason", failing_s=90.0)))
    assert "fails for" in text and "what to do: the reason" in text


def test_nothing_that_others_named_speaks_to_the_terminal() -> None:
    text = "\n".join(status_lines(facts(text="\x1b[2J\u202e<b>")))
    assert "\x1b" not in text and "\u202e" not in text


def test_what_waits_is_told_with_its_amount_and_age() -> None:
    lines = list(status_lines(facts(failing_s=0.0)))
    usage = next(line for line in lines if line.startswith("usage"))
    assert "6, 3.9 KiB" in usage and "1 min 30 s" in usage  # a segment, three members, two specimens


def test_a_failing_store_says_when_it_is_tried_again() -> None:
    assert "fails for 1 min 30 s, next try in 7 s" in "\n".join(status_lines(facts(failing_s=90.0)))


def test_without_a_configuration_the_default_listener_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (refusal, command):
        monkeypatch.setattr(module, "DEFAULT_CONFIG", str(tmp_path / "config.yml"))
    monkeypatch.delenv("LIGHTFILE6_ADMIN_LISTEN", raising=False)
    monkeypatch.delenv(command.VARIABLE, raising=False)
    chosen = argparse.Namespace(url=None, token_file=None, config=None)
    assert command._where(chosen) == (f"http://{Admin().listen}", None)
    monkeypatch.setenv("LIGHTFILE6_ADMIN_LISTEN", "127.0.0.1:1")  # which is no whole configuration
    with pytest.raises(refusal.Refusal):
        command._where(chosen)
    monkeypatch.delenv("LIGHTFILE6_ADMIN_LISTEN")
    (tmp_path / "config.yml").write_text("s3: 5\n")
    with pytest.raises(refusal.Refusal):
        command._where(chosen)
