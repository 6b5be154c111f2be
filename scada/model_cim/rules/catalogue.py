"""Every rule by its id: severity, title, where it is written; and the functions that look for breaches of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from scada.model_cim.findings import Severity

if TYPE_CHECKING:
    from scada.model_cim.rules.view import View

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule id means."""

    id: str
    severity: Severity
    """Unless the settings of a check say otherwise; some findings of a rule may be milder."""
    title: str
    title_zh: str
    standard: str = ""
    """Id of ENTSO-E's constraint or clause of the standard; empty for rules of the house."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Objects that break a rule. Findings are made of as many as are shown; the rest are counted."""

    rows: Int32
    """Object index of each."""
    text: Callable[[int], str]
    """What is wrong with the i-th of ``rows``."""
    prop: str = ""
    """Property at whose line the finding stands; empty: the object's own line."""
    hint: str = ""
    rule: str = ""
    """Filled in where a function has one rule."""
    standard: str = ""
    """Filled in from the rule unless given."""
    severity: Severity | None = None
    """None: the rule's."""


Check = Callable[["View"], Iterator[Hits]]

RULES: Final[dict[str, Rule]] = {}
"""Every rule by id, those of the reader, the point builder and the applications too."""
CHECKS: Final[list[tuple[str, Check]]] = []
"""Functions that look for breaches, each with the id of its (first) rule, in the order they run."""


def define(id_: str, severity: Severity, title: str, title_zh: str, standard: str = "") -> Rule:
    """Enter a rule into the catalogue; an id is given once."""
    assert id_ not in RULES, id_
    RULES[id_] = Rule(id_, severity, title, title_zh, standard)
    return RULES[id_]


def rule(id_: str, severity: Severity, title: str, title_zh: str, standard: str = "") -> Callable[[Check], Check]:
    """Decorator: the function looks for breaches of this rule."""

    def register(check: Check) -> Check:
        define(id_, severity, title, title_zh, standard)
        CHECKS.append((id_, check))
        return check

    return register


def hits(
    rows: Int32,
    broken: Bool,
    text: Callable[[int], str] | str,
    *,
    prop: str = "",
    hint: str = "",
    rule: str = "",
    standard: str = "",
    severity: Severity | None = None,
) -> Iterator[Hits]:
    """The objects of ``rows`` for which ``broken`` is True, if any.

    Args:
        rows: object indices.
        broken: per row.
        text: what is wrong: the same for all, or a function of the place in ``rows``.
        prop: property at whose line the finding stands.
        hint: how to mend it.
        rule: rule id, where the function that looks has several.
        standard: ENTSO-E's rule id, where it differs from the rule's.
        severity: milder or worse than the rule's.
    """
    (places,) = np.nonzero(broken)
    if len(places):
        words = (lambda _: text) if isinstance(text, str) else (lambda index: text(int(places[index])))
        yield Hits(rows[places].astype(np.int32), words, prop, hint, rule, standard, severity)
