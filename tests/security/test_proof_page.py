"""Every test that docs/security/proof.md names exists: a page of proof must not outlive what it points to."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security" / "proof.md").read_text("utf-8"))))


def names_of(path: Path) -> set[str]:
    """Test functions of a file, by themselves or in classes, and state machines."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.startswith(("test_", "Test"))}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_the_tests_that_prove_are_there(file):
    assert (ROOT / file).exists()
    assert {name for where, name in NAMED if where == file} - names_of(ROOT / file) == set()


def test_every_row_names_a_test():
    rows = [line for line in (ROOT / "docs" / "security" / "proof.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    bare = [row for row in rows if "::" not in row and not row.startswith(("| threat |", "| sentence |"))]
    assert len(rows) > 20
    assert bare == []


def test_a_test_that_is_gone_is_noticed():
    assert "test_that_never_was" not in names_of(Path(__file__))
    assert "test_a_test_that_is_gone_is_noticed" in names_of(Path(__file__))
