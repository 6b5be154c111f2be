"""What people read: texts by key, in Chinese and English, shared by the terminal and the page.

Events and alarms carry a key and parameters; ``en.json`` and ``zh.json`` beside this file hold the texts. In a text

- ``{name}`` stands for a parameter, ``{state|value}`` for the first of several that is given;
- ``[...]`` is left out if any parameter in it is missing.

The parameter ``tag_type`` is a key itself and is shown by the text ``tag_type.<key>``.

A key without a text is shown as it is, with its parameters: nothing is hidden because nobody translated it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh")

_PARAMETER = re.compile(r"\{([a-z_|]+)\}")
_PART = re.compile(rf"\[([^\[\]]*)\]|{_PARAMETER.pattern}")


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """All texts of a language of :data:`LANGUAGES`."""
    texts: dict[str, str] = json.loads((files(__name__) / f"{language}.json").read_text(encoding="utf-8"))
    return texts


def language_of(wanted: str = "", environment: Mapping[str, str] = os.environ) -> str:
    """The language to speak: the wanted one, else that of ``LC_ALL``, ``LC_MESSAGES`` or ``LANG``, else English.

    >>> language_of("", {"LANG": "zh_CN.UTF-8"}), language_of("", {"LANG": "de_DE"}), language_of("en", {"LANG": "zh_CN"})
    ('zh', 'en', 'en')
    """
    for name in (wanted, *(environment.get(variable, "") for variable in ("LC_ALL", "LC_MESSAGES", "LANG"))):
        if name:
            return name[:2] if name[:2] in LANGUAGES else "en"
    return "en"


def fill(text: str, parameters: Mapping[str, str]) -> str:
    """Put parameters into a text.

    >>> fill("{point} is {state|value}[ {unit}][ ({reason})]", {"point": "P1", "value": "5", "unit": "MW"})
    'P1 is 5 MW'
    """

    def given(names: str) -> str:
        return next((parameters[name] for name in names.split("|") if parameters.get(name)), "")

    def part(match: re.Match[str]) -> str:
        optional, names = match[1], match[2]
        if names:
            return given(names)
        if not all(given(inner) for inner in _PARAMETER.findall(optional)):
            return ""
        return _PARAMETER.sub(lambda inner: given(inner[1]), optional)

    return _PART.sub(part, text)


def text(language: str, key: str, parameters: Mapping[str, str] | None = None) -> str:
    """The text of a key with its parameters.

    >>> text("en", "limit.hi", {"point": "East/P1", "value": "95", "unit": "MW", "limit": "90"})
    'East/P1 95 MW: above high limit 90 MW'
    >>> text("en", "no.such.key", {"a": "1"})
    'no.such.key a=1'
    >>> text("en", "operator.tagged", {"object": "East/CB", "tag_type": "do_not_close"})
    'East/CB: tag do not close placed'
    """
    parameters = parameters or {}
    found = catalogue(language).get(key)
    if found is None:
        return " ".join([key, *(f"{name}={value}" for name, value in parameters.items())])
    tag = parameters.get("tag_type")
    if tag:
        parameters = {**parameters, "tag_type": catalogue(language).get(f"tag_type.{tag}", tag)}
    return fill(found, parameters)
