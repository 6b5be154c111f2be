"""Every expression of the documentation can be read, and every function is in it."""

import re
from pathlib import Path

import pytest

from scada.expressions.calls import SIGNATURES
from scada.expressions.language import _FUNCTIONS, parse

PAGE = (Path(__file__).parents[3] / "docs" / "calculated-points.md").read_text("utf-8")
EXAMPLES = [line for block in re.findall(r"```calc\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_example_can_be_read(text):
    assert parse(text).code


@pytest.mark.parametrize("name", sorted({*_FUNCTIONS, *SIGNATURES}))
def test_every_function_has_an_example_and_a_line(name):
    assert any(f"{name}(" in line for line in EXAMPLES)
    assert re.search(rf"\| .*`{name}\(|also `{name}`", PAGE), f"{name} is not explained"
