"""Targets for fuzzing, a corpus that is kept, and ``python -m tests.fuzz`` to go on from there."""
