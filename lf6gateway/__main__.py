"""``python -m lf6gateway`` is the command ``lf6gateway``. Owns nothing."""

from lf6gateway.edges.cli import main

main()
