"""What a change of the model means to the people in the control room: :func:`effects`.

A difference tells what statements change; an effect tells what happens: which point is lost, which command goes elsewhere, which
channel will restart. Both versions' tables are compared, so that what a template makes counts too.
"""

from __future__ import annotations

from collections.abc import Mapping

from scada.model_cim.cim import CimModel
from scada.model_cim.effects.applications import area_effects, upstream_effects, zone_effects
from scada.model_cim.effects.controls import channel_effects, control_effects, restarts
from scada.model_cim.effects.kinds import DANGEROUS, LANGUAGES, Effect, EffectKind, Effects, ordered
from scada.model_cim.effects.network import network_effects, station_effects
from scada.model_cim.effects.points import point_effects
from scada.model_cim.statements import Difference
from scada.model_cim.tables import ModelTables

__all__ = ["DANGEROUS", "LANGUAGES", "Effect", "EffectKind", "Effects", "effects", "file_effects", "restarts"]


def effects(
    old_tables: ModelTables,
    new_tables: ModelTables,
    old_model: CimModel,
    new_model: CimModel,
    *,
    difference: Difference | None = None,
    files: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
) -> Effects:
    """Everything that changes for people when one version takes over from another.

    Points, controls and channels are compared by mRID: the two versions need not number them alike.

    Args:
        old_tables: of the version that runs, or ran.
        new_tables: of the version that is to run.
        old_model: the model of ``old_tables``.
        new_model: the model of ``new_tables``.
        difference: between the models, where the caller has it already.
        files: digest of each file of both versions by name; changed templates and other files beside the XML are then listed.
    """
    models = old_model, new_model
    return ordered(
        [
            *point_effects(old_tables, new_tables, models),
            *control_effects(old_tables, new_tables, models),
            *channel_effects(old_tables, new_tables),
            *network_effects(models, difference),
            *station_effects(old_tables, new_tables),
            *area_effects(old_tables, new_tables),
            *zone_effects(old_tables, new_tables),
            *upstream_effects(old_tables, new_tables),
            *(file_effects(*files) if files is not None else ()),
        ]
    )


def file_effects(old: Mapping[str, str], new: Mapping[str, str]) -> list[Effect]:
    """Files beside the XML that differ: templates, maps, certificates; diagrams are listed by station.

    Args:
        old: digest of each file by its name in the folder.
        new: the same of the other version.
    """
    found = []
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name) or name.endswith((".xml", ".zip")) or name.startswith("diagrams/"):
            continue
        change = "changed" if name in old and name in new else "added" if name in new else "removed"
        template = name.startswith("templates/") and name.endswith(".toml")
        found.append(Effect(EffectKind.TEMPLATE_CHANGED if template else EffectKind.FILE_CHANGED, name, name, new=change))
    return found
