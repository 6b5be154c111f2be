"""``scada config``: check a configuration, print its schema or a commented example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from scada.core.settings import Settings, load_settings


@click.group(name="config")
def command() -> None:
    """Check a configuration, print its JSON Schema or a commented example."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Read FILE as the server would; exit code 1 and one line that names every wrong value."""
    settings = load_settings(file)
    click.echo(f"{file}: ok (site {settings.site.name}, model {settings.model.path})")


@command.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and documentation."""
    click.echo(json.dumps(Settings.model_json_schema(), indent=2))


@command.command()
def example() -> None:
    """Print a whole configuration with every default and its meaning."""
    for line in _example_lines():
        click.echo(line)


def _example_lines() -> Iterator[str]:
    for section, field in Settings.model_fields.items():
        group = field.annotation
        if not (isinstance(group, type) and issubclass(group, BaseModel)):
            continue
        yield from _section_lines(section, group)
    yield "# [channels.NAME]  # override of a channel's address; NAME as in the model"
    yield '# host = "10.0.0.5"'
    yield "# port = 2404"
    yield ""
    yield "# [upstream.stations.NAME]  # override of an upstream station; NAME as in the model"
    yield '# host = "10.0.0.1"'
    yield ""
    yield '# [upstream.stations.NAME.masters."10.1.0.1"]  # what a master may command; none = it only reads'
    yield '# name = "provincial-dispatch-a"'
    yield '# roles = ["OPERATOR"]'
    yield '# areas = ["East"]'
    yield ""
    yield '# [dispatch.contracts."provincial-dispatch-a"]  # what one dispatcher may order; see docs/dispatch-api.md'
    yield '# areas = ["East"]'
    yield '# decide = "operator"'
    yield ""
    yield "# [drivers]  # drivers of your own, by protocol; their code runs with the rights of the server"
    yield '# my-protocol = "drivers/my_protocol.py:MyDriver"'


def _section_lines(section: str, group: type[BaseModel]) -> Iterator[str]:
    """A section and those inside it."""
    yield f"[{section}]  # {(group.__doc__ or '').strip().splitlines()[0]}"
    inner: list[tuple[str, type[BaseModel]]] = []
    tables: list[str] = []
    for name, item in group.model_fields.items():
        if isinstance(item.annotation, type) and issubclass(item.annotation, BaseModel):
            inner.append((f"{section}.{name}", item.annotation))
        elif isinstance(item.default, Mapping):
            tables += [f"[{section}.{name}.{key}]  # {item.description}" for key in item.default]
        elif item.default_factory is None:  # else a table of its own, see below
            unset = "# " if item.default is None else ""
            yield f"{unset}{name} = {_toml(item.default)}" + (f"  # {item.description}" if item.description else "")
    yield ""
    for head in tables:
        yield from (head, "")
    for name, part in inner:
        yield from _section_lines(name, part)


def _toml(value: Any) -> str:
    match value:
        case bool():
            text = "true" if value else "false"
        case int() | float():
            text = str(value)
        case BaseModel():
            pairs = (f"{name} = {_toml(item)}" for name, item in value.model_dump(exclude_defaults=True).items())
            text = f"{{ {', '.join(pairs)} }}"
        case tuple():
            text = f"[{', '.join(_toml(item) for item in value)}]"
        case _:
            text = '""' if value is None or value is PydanticUndefined else f'"{value}"'
    return text
