"""The whole way once, to look at, in ``demo-data``: what ``lf6gateway demo`` does, from a checkout. Run by
``make demo``; ends with status 1 if what is stored is not what was sent."""

from __future__ import annotations

import shutil
from pathlib import Path

from lf6gateway.edges.cli import main

if __name__ == "__main__":
    folder = Path.cwd() / "demo-data"
    shutil.rmtree(folder, ignore_errors=True)
    main(["demo", "--keep", str(folder)])
