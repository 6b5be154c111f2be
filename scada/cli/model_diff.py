"""``scada model diff``, ``patch`` and ``merge``: what changes between versions of a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from scada.model_cim.cim import CimModel
    from scada.model_cim.conflicts import DifferenceError
    from scada.model_cim.effects import Effects
    from scada.model_cim.merge import Merged
    from scada.model_cim.statements import Difference, DifferenceHeader
    from scada.protocols.registry import Drivers

_SAME, _OTHER, _TROUBLE = 0, 1, 2
_PATH = click.Path(path_type=Path)
_OUT = click.Path(path_type=Path, file_okay=False)
_TEXTS: Final = {
    "en": {
        "same": "the models say the same",
        "counts": "objects: {added} new, {removed} gone, {changed} changed",
        "effects": "effects: {effects}, dangerous (!): {dangerous}",
        "restarting": "channels that will restart: {names}",
        "none": "no effect on points, controls, channels or the network",
        "written": "written to {path}",
        "no_station": "no station",
        "conflicts": "conflicts: {count}; nothing was written",
        "merged": "no conflict",
        "nothing": "nothing",
    },
    "zh": {
        "same": "两个模型内容相同",
        "counts": "对象: 新增 {added} 个, 删除 {removed} 个, 修改 {changed} 个",
        "effects": "影响 {effects} 项, 其中危险 (!) {dangerous} 项",
        "restarting": "将重启的通道: {names}",
        "none": "对测点, 控制, 通道和电网没有影响",
        "written": "已写入 {path}",
        "no_station": "不属于任何厂站",
        "conflicts": "冲突 {count} 处; 未写入任何文件",
        "merged": "没有冲突",
        "nothing": "无",
    },
}

_with_lang = click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language.")
_with_config = click.option(
    "--config", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="scada.toml, for the drivers named in it."
)


@click.command(
    epilog="Example: scada model diff running edited --xml change.xml. The file is a difference model of IEC 61970-552: "
    "`scada model patch running change.xml --out next` applies it, with --reverse it takes the change back.",
)
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option("--effect/--objects", "by_effect", default=True, help="What it means in the control room (default), or each value.")
@click.option("--xml", type=_PATH, help="Write the difference as a difference model (IEC 61970-552) to this file.")
@click.option("--message", default="", help="Description in the header of the difference model.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: objects, statements, effects.")
@click.option("--station", help="Show only what belongs to this station.")
@click.option("--spelling", is_flag=True, help="List numbers too that are only written differently (1.0 and 1.00).")
@_with_config
@_with_lang
def diff(
    old: Path,
    new: Path,
    *,
    by_effect: bool,
    xml: Path | None,
    message: str,
    as_json: bool,
    station: str | None,
    spelling: bool,
    config: Path | None,
    lang: str,
) -> None:
    """Compare two models (folders, zips or XML files): points lost, commands that go elsewhere, channels that will restart ...

    Order, files and headers are no content. ``!`` marks what is dangerous: who applies the model must confirm it. Exit code as of
    diff(1): 0 the same, 1 different, 2 trouble.
    """
    from scada.core.errors import ScadaError

    try:
        different = _diff(old, new, by_effect, xml, message, as_json, station, spelling, _drivers(config), lang)
    except ScadaError as error:
        click.echo(f"scada: {error}", err=True)
        sys.exit(_TROUBLE)
    sys.exit(_OTHER if different else _SAME)


def _diff(
    old: Path,
    new: Path,
    by_effect: bool,
    xml: Path | None,
    message: str,
    as_json: bool,
    station: str | None,
    spelling: bool,
    drivers: Drivers,
    lang: str,
) -> bool:
    from scada.core.errors import ModelError
    from scada.model_cim.difference import diff_models
    from scada.model_cim.difference_writer import write_difference
    from scada.model_cim.effects import effects
    from scada.model_cim.instrument_files import cim_namespace
    from scada.model_cim.points import load_model
    from scada.model_cim.version_files import hashes_of

    loaded = []
    for path in (old, new):
        with _step(f"reading {path}"):
            loaded.append(load_model(path, None, drivers))
    (before, tables, _), (after, next_tables, _) = loaded
    known = {one.name for each in (tables, next_tables) for one in each.stations}
    if station is not None and station not in known:
        raise ModelError(f"no station {station!r}", where=str(new), mend=f"one of {', '.join(sorted(known))}")
    with _step("comparing"):
        header = _header(before, after, message) if xml is not None else None
        difference = diff_models(before, after, spelling=spelling, header=header)
        files = (hashes_of(old), hashes_of(new)) if old.is_dir() and new.is_dir() else None
        found = effects(tables, next_tables, before, after, difference=difference, files=files)
    if xml is not None:
        write_difference(difference, xml, cim_namespace=cim_namespace([one.cim_namespace for one in after.headers]))
    if as_json:
        click.echo(json.dumps({**_as_dict(difference), **found.as_dict()}, indent=1, ensure_ascii=False))
    else:
        _show(difference, found, (before, after), by_effect=by_effect, station=station, lang=lang)
        if xml is not None:
            click.echo(_TEXTS[lang]["written"].format(path=xml))
    return bool(difference or found)


@click.command(
    epilog="Example: scada model patch running change.xml --out next. With --reverse the same file takes the change back: "
    "scada model patch next change.xml --reverse --out again.",
)
@click.argument("model", type=_PATH)
@click.argument("difference", metavar="DIFF.xml", type=_PATH)
@click.option("--out", type=_OUT, help="Folder to write the changed model to; may be MODEL itself.")
@click.option("--reverse", is_flag=True, help="Take the change back.")
@_with_lang
def patch(model: Path, difference: Path, *, out: Path | None, reverse: bool, lang: str) -> None:
    """Apply a difference model (IEC 61970-552) to a model.

    Each value that the difference takes away must be there, each object it adds must not; otherwise nothing is written and every
    conflict is named. Without --out it is only tried. Exit code 1 on conflicts.
    """
    from scada.model_cim.difference import DifferenceError, apply_difference
    from scada.model_cim.difference_file import read_difference

    change = read_difference(difference)
    with _step(f"reading {model}"):
        read = _read(model)
    with _step("applying"):
        try:
            patched = apply_difference(read, change.reversed() if reverse else change)
        except DifferenceError as error:
            _show_conflicts(error, lang)
            sys.exit(1)
    click.echo(_counts(change.reversed() if reverse else change, lang))
    if out is not None:
        _write(patched, dict.fromkeys(_beside(model), model), out, lang)


@click.command(
    epilog="Example: scada model merge released anna boris --out next. Both began with `released`; anna worked on one station, "
    "boris on another.",
)
@click.argument("base", type=_PATH)
@click.argument("mine", type=_PATH)
@click.argument("theirs", type=_PATH)
@click.option("--out", type=_OUT, help="Folder to write the merged model to.")
@click.option("--xml", type=_PATH, help="Write the merged change of BASE as a difference model (IEC 61970-552).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: conflicts, objects, statements.")
@_with_config
@_with_lang
def merge(
    base: Path, mine: Path, theirs: Path, *, out: Path | None, xml: Path | None, as_json: bool, config: Path | None, lang: str
) -> None:
    """Join the work of two engineers who started from the same model.

    What both changed alike is no conflict. The same property changed differently, an object removed by the one and used by the
    other, one address or name for two points: each conflict is named with both values and their places, nothing is written and
    the exit code is 1.
    """
    from scada.core.errors import ModelError
    from scada.model_cim.difference import apply_difference
    from scada.model_cim.difference_writer import write_difference
    from scada.model_cim.instrument_files import cim_namespace
    from scada.model_cim.merge import merge as merge_models
    from scada.model_cim.merge import merge_files

    if out is not None and out.is_dir() and any(out.iterdir()):
        raise ModelError("the folder is not empty", where=str(out), mend="give a new folder")
    models = []
    for path in (base, mine, theirs):
        with _step(f"reading {path}"):
            models.append(_read(path))
    with _step("merging"):
        merged = merge_models(*models, drivers=_drivers(config))
        sides = (base, mine, theirs)
        chosen, clashes = merge_files(*(_beside(path) for path in sides))
    if merged.conflicts or clashes:
        _show_merge_conflicts(merged, clashes, as_json=as_json, lang=lang)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps({"conflicts": [], "files": [], **_as_dict(merged.difference)}, indent=1, ensure_ascii=False))
    else:
        click.echo(f"{_TEXTS[lang]['merged']}: {_counts(merged.difference, lang)}")
    if xml is not None:
        write_difference(merged.difference, xml, cim_namespace=cim_namespace([one.cim_namespace for one in models[0].headers]))
    if out is not None:
        _write(
            apply_difference(models[0], merged.difference), {name: sides[side] for name, side in chosen.items()}, out, lang,
            silent=as_json,
        )  # fmt: skip


def _drivers(config: Path | None) -> Drivers:
    from scada.core.settings import load_settings
    from scada.protocols.registry import Drivers

    return Drivers(load_settings(config).drivers if config is not None else None)


def _read(path: Path) -> CimModel:
    """A whole model: half a one is neither compared nor changed."""
    from scada.core.errors import ModelError
    from scada.model_cim.findings import Severity
    from scada.model_cim.reader import ModelReader

    model = ModelReader(path).read()
    for finding in model.findings:
        if finding.severity is Severity.FATAL:
            raise ModelError(finding.text, where=finding.where, mend=finding.hint)
    return model


def _header(old: CimModel, new: CimModel, message: str) -> DifferenceHeader:
    from scada.cli.event_files import iso_time
    from scada.core.clock import SystemClock
    from scada.core.ids import derived_mrid
    from scada.model_cim.statements import DifferenceHeader

    return DifferenceHeader(
        mrid=derived_mrid("difference", old.digest, new.digest),
        created=iso_time(SystemClock().now_ns()),
        description=message,
        supersedes=(old.digest,),
        profiles=tuple(sorted({profile for header in new.headers for profile in header.profiles})),
    )


def _beside(path: Path) -> dict[str, str]:
    """Digest of each file beside the XML: templates, waivers, drawings."""
    from scada.model_cim.version_files import hashes_of

    names = hashes_of(path) if path.is_dir() else {}
    return {name: digest for name, digest in names.items() if not name.lower().endswith((".xml", ".zip"))}


def _write(model: CimModel, beside: dict[str, Path], out: Path, lang: str, *, silent: bool = False) -> None:
    """The model's XML, and each file beside it from the folder that has the right one."""
    import shutil

    from scada.model_cim.writer import write_model

    with _step(f"writing {out}"):
        write_model(model, out)
        for name, folder in beside.items():
            target = out / name
            if target.resolve() != (folder / name).resolve():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, target)
    if not silent:
        click.echo(_TEXTS[lang]["written"].format(path=out))


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Say on a terminal what is being done while it lasts."""
    if not sys.stderr.isatty():
        yield
        return
    click.echo(f"{what} ...\r", nl=False, err=True)
    try:
        yield
    finally:
        click.echo("\r\033[K", nl=False, err=True)


def _counts(difference: Difference, lang: str) -> str:
    ends = difference.added.keys() | difference.removed.keys()
    changed = {one.mrid for one in (*difference.forward, *difference.reverse)} - ends
    return _TEXTS[lang]["counts"].format(added=len(difference.added), removed=len(difference.removed), changed=len(changed))


def _as_dict(difference: Difference) -> dict[str, object]:
    parts = ("forward", "reverse", "preconditions")
    return {
        "same": not difference,
        "added": dict(difference.added),
        "removed": dict(difference.removed),
        **{
            part: [
                {"mrid": one.mrid, "property": one.prop, "value": one.value, "kind": one.kind.value}
                for one in getattr(difference, part)
            ]
            for part in parts
        },
    }


def _show(
    difference: Difference, found: Effects, models: tuple[CimModel, CimModel], *, by_effect: bool, station: str | None, lang: str
) -> None:
    texts = _TEXTS[lang]
    if not difference and not found:
        click.echo(texts["same"])
        return
    if by_effect:
        _show_effects(found, station, lang)
    else:
        _show_objects(difference, models, station, lang)
    click.echo(_counts(difference, lang))
    click.echo(texts["effects"].format(effects=len(found), dangerous=len(found.dangerous)) if found else texts["none"])
    if found.restarting:
        click.secho(texts["restarting"].format(names=", ".join(found.restarting)), fg="yellow")


def _show_effects(found: Effects, station: str | None, lang: str) -> None:
    for name, rows in found.by_station().items():
        if station in (None, name):
            click.secho(name or _TEXTS[lang]["no_station"], bold=True)
            for row in rows:
                click.secho(f"  {'!' if row.dangerous else ' '} {row.text(lang)}", fg="red" if row.dangerous else None)


def _show_objects(difference: Difference, models: tuple[CimModel, CimModel], station: str | None, lang: str) -> None:
    """Objects by station, each with its values before and after and where they stand."""
    from scada.model_cim.conflicts import touched
    from scada.model_cim.responsible import stations_of
    from scada.model_cim.said import path_of

    values: dict[str, dict[str, tuple[list[str], list[str]]]] = {}
    for side, statements in enumerate((difference.reverse, difference.forward)):
        for one in statements:
            values.setdefault(one.mrid, {}).setdefault(one.prop, ([], []))[side].append(one.value)
    places: dict[str, list[str]] = {}
    for mrid in touched(difference):
        model = models[mrid in models[1]]
        for name in stations_of(model, mrid) or {""}:
            places.setdefault(name, []).append(mrid)
    for name in sorted(places, key=lambda name: (not name, name)):
        if station in (None, name):
            click.secho(name or _TEXTS[lang]["no_station"], bold=True)
            for mrid in sorted(places[name], key=lambda mrid: (path_of(models[mrid in models[1]], mrid), mrid)):
                _show_object(mrid, difference, models, values.get(mrid, {}), lang)


def _show_object(
    mrid: str,
    difference: Difference,
    models: tuple[CimModel, CimModel],
    values: dict[str, tuple[list[str], list[str]]],
    lang: str,
) -> None:
    from scada.model_cim.said import path_of

    was, now = difference.removed.get(mrid), difference.added.get(mrid)
    sign, colour = ("~", "yellow") if bool(was) == bool(now) else ("+", "green") if now else ("-", "red")
    model = models[mrid in models[1]]
    name = f"{was} -> {now}" if was and now else model.class_of(mrid)
    click.secho(f"  {sign} {name} {path_of(model, mrid)} [{mrid}]  {model.where(mrid)}", fg=colour)
    for prop, (before, after) in sorted(values.items()):
        texts = [", ".join(side) or _TEXTS[lang]["nothing"] for side in (before, after)]
        if sign == "~":
            click.echo(f"      {prop}: {texts[0]} -> {texts[1]}  {model.where_of(mrid, prop)}")
        else:
            click.echo(f"      {prop}: {texts[sign == '+']}")


def _show_conflicts(error: DifferenceError, lang: str) -> None:
    for conflict in error.conflicts:
        click.secho(f"{conflict.kind.value}: {conflict}", fg="red", err=True)
    click.echo(_TEXTS[lang]["conflicts"].format(count=len(error.conflicts)), err=True)


def _show_merge_conflicts(merged: Merged, clashes: Sequence[str], *, as_json: bool, lang: str) -> None:
    if as_json:
        rows = [one.as_dict() for one in merged.conflicts]
        click.echo(json.dumps({"conflicts": rows, "files": list(clashes)}, indent=1, ensure_ascii=False))
        return
    for conflict in merged.conflicts:
        click.secho(str(conflict), fg="red", err=True)
    for name in clashes:
        click.secho(f"file: {name}", fg="red", err=True)
    click.echo(_TEXTS[lang]["conflicts"].format(count=len(merged.conflicts) + len(clashes)), err=True)
