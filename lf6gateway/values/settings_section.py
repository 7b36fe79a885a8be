"""What every section of the configuration has in common. Owns how strictly one is read; must never know a key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Keys that belong together: immutable, and none that is not known."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=False,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
    )
