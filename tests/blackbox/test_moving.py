"""What the handbook says of moving a spool: one that is carried elsewhere is shipped there, and an old copy of one that
went on doubles nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.blackbox.gateway import Gateway, eventually, records
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]


def usage(objects: Path) -> list[int]:
    return [one["n"] for one in records(stored(objects), "usage/")]


def specimens(objects: Path) -> list[bytes]:
    return sorted(data for key, data in stored(objects).items() if key.startswith("specimen/"))


def test_a_spool_is_carried_to_another_machine_with_all_that_waits(gateway: Make, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    old = gateway("old", aggregation={"usage_interval": "300ms", "error_interval": "1h"}).start()
    assert old.put("/usage", b'{"n":1}') == 204
    eventually(lambda: objects.exists() and usage(objects) == [1])
    objects.rename(tmp_path / "kept")
    objects.touch()  # the store fails from here on
    assert old.put("/usage", b'{"n":2}') == 204
    assert old.put("/specimen?uri=a", b"a") == 204
    old.kill()  # the machine is dead, its disk is not
    objects.unlink()
    (tmp_path / "kept").rename(objects)

    new = gateway("new")
    shutil.copytree(old.cache, new.cache)
    new.start()
    assert new.put("/usage", b'{"n":3}') == 204
    assert new.stop() == 0
    assert usage(objects) == [1, 2, 3]
    assert specimens(objects) == [b"a"]
    assert not [name for name in new.waiting_files() if name.endswith((".seg", ".spec"))]


def test_an_old_copy_of_a_spool_doubles_nothing(gateway: Make, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    daemon = gateway().start()
    for n in (1, 2):
        assert daemon.put("/usage", b'{"n":%d}' % n) == 204
        assert daemon.put(f"/specimen?uri={n}", b"%d" % n) == 204
        eventually(lambda n=n: objects.exists() and usage(objects)[-1:] == [n])
        if n == 1:
            daemon.kill()
            shutil.copytree(daemon.cache, tmp_path / "snapshot")
            daemon.start()
    assert daemon.stop() == 0
    shutil.rmtree(daemon.cache)
    (tmp_path / "snapshot").rename(daemon.cache)
    daemon.start()
    assert daemon.put("/usage", b'{"n":3}') == 204
    assert daemon.stop() == 0
    assert usage(objects) == [1, 2, 3]
    assert specimens(objects) == [b"1", b"2"]
