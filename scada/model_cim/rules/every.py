"""Loads every module of rules, so that the catalogue is complete."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

MODULES: Final = (
    "known",
    "by_schema",
    "references",
    "lines",
    "transformers",
    "machines",
    "regulation",
    "limits",
    "state",
    "points",
    "orders",
)
"""In the order their rules run."""


@cache
def load_rules() -> None:
    """Enter every rule into the catalogue; once."""
    for name in MODULES:
        import_module(f"scada.model_cim.rules.{name}")
