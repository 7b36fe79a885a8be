"""Every test of this folder that takes a ``channel`` is run on each HTTP channel there is."""

from __future__ import annotations

import pytest

from tests.hostile.channels import CHANNELS, Channel


@pytest.fixture(params=CHANNELS, ids=lambda channel: channel.name, scope="session")
def channel(request: pytest.FixtureRequest) -> Channel:
    found: Channel = request.param
    return found
