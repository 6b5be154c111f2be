"""Every key of an explanation has words in both languages, on the page and in the terminal."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = {"page": ROOT / "hmi-client" / "src" / "locale", "terminal": ROOT / "scada" / "api" / "texts"}


def keys():
    """First arguments of Term, Bound and their helpers, objectives, and names of limits, as they stand in the source."""
    found = set()
    for path in (ROOT / "scada" / "apps" / "agc_avc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"Term", "Bound", "_bound"}
                and node.args
            ):
                found |= {
                    one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
            if isinstance(node, ast.keyword) and node.arg == "objective" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
            if isinstance(node, ast.FunctionDef) and node.name == "_objective":
                found |= {one.value for part in ast.walk(node) if isinstance(part, ast.Return) for one in ast.walk(part.value)
                          if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value != "CECO"}  # fmt: skip
    return found | {"limits", "capability_curve", "inverter_circle", "available_power", "raise", "lower", "plant"}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("place", PLACES)
def test_every_key_of_an_explanation_has_words(place, language):
    words = json.loads((PLACES[place] / f"{language}.json").read_text(encoding="utf-8"))
    assert len(keys()) > 40
    assert sorted(key for key in keys() if f"explain.{key}" not in words) == []
