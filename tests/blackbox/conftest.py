"""Processes that the black-box tests share or clean up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.gateway import Gateway, S3Server
from tests.campaigns.relay import Relay


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(tmp_path, "insights")
    yield server
    server.stop()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(name: str = "gateway", *, s3: S3Server | Relay | None = None, **config: Any) -> Gateway:
        if s3 is None:
            config.setdefault("storage", {"directory": str(tmp_path / "objects")})
        else:
            config["aws"] = {"endpoint": s3.url, "access_key_id": "AKPLANTED", "secret_access_key": "planted-secret"}
            config["s3"] = {
                f"{stream}_{what}": value
                for stream in ("usage", "error", "specimen")
                for what, value in (("bucket", "insights"), ("prefix", stream))
            }
        made.append(Gateway(tmp_path / name, **config))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()
