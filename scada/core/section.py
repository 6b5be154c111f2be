"""Base of every section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of ``scada.toml``: unknown keys are refused, what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
