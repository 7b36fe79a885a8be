"""A program that uses the client, for tests that kill it: hands numbers over, and prints each that was taken.

``python -m tests.blackbox.client_process URL QUEUE FIRST COUNT [OPTION=VALUE …]``; ``COUNT`` 0: for ever."""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import suppress

from lf6gateway.client import Client, Options

if __name__ == "__main__":
    url, queue, first, count, *more = sys.argv[1:]
    options = {
        name: float(value) if "." in value else int(value) for name, _, value in (one.partition("=") for one in more)
    }
    client = Client(url, "alice", Options(queue=queue, **options))  # type: ignore[arg-type]
    numbers = itertools.count(int(first))
    with suppress(KeyboardInterrupt):  # the exit sends what is left
        for number in itertools.islice(numbers, int(count) or None):
            if client.usage({"n": number}, wait=30.0):
                print(number, flush=True)
            if not int(count):
                time.sleep(0.001)
    print("done", flush=True)
