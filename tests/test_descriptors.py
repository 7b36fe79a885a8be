"""How many connections there are descriptors for."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from lf6gateway.edges.descriptors import OWN, within
from lf6gateway.values.limits import Limits

ASK = """
import resource, sys
from lf6gateway.edges.descriptors import open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize("files", [0, 100, 300, 1024, 65_536])
def test_what_may_be_open_at_once_leaves_some_for_the_disk_and_s3(files: int) -> None:
    limits = within(Limits(max_connections=10**6), files)
    assert limits.max_connections >= 1
    if files:
        own = min(OWN, files // 2)
        assert limits.max_connections + limits.max_refused + limits.max_specimens + own == files


@pytest.mark.parametrize(("soft", "hard"), [(256, 4096), (256, 256)])
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip(f"this process may not have {hard} descriptors")
    command = [sys.executable, "-c", ASK, str(soft), str(hard)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == [str(hard), str(hard)]
