"""Compile every numba kernel into its cache, so that no process compiles while it runs. Called by the set-up."""

from __future__ import annotations

import importlib
import pkgutil

import click

import scada

FLOORS_WITH_KERNELS = {"protocols", "rtdb", "model_cim", "events", "history", "apps"}


def warm() -> list[str]:
    """Import each module of the package that has a ``warm_up`` function and call it; returns their names."""
    warmed = []
    for found in pkgutil.walk_packages(scada.__path__, "scada."):
        if found.name.split(".")[1] not in FLOORS_WITH_KERNELS:
            continue
        module = importlib.import_module(found.name)
        if hasattr(module, "warm_up"):
            module.warm_up()
            warmed.append(found.name)
    return warmed


if __name__ == "__main__":
    click.echo(f"kernels compiled: {', '.join(warm())}")
