"""Rules from the compiled schema: classes, properties, kinds and forms of values, what profiles require, ENTSO-E's value rules.

Literals are read as what they are written as, whatever their declared type: CIM XML has no types in it. What a profile requires
is asked only where a file declares that profile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from scada.model_cim.columns import Coded, Column
from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, define, hits, rule
from scada.model_cim.rules.view import Bool, Int32, View, as_floats
from scada.model_cim.schema import VERSIONS, Property, ValueRule, load_schema
from scada.model_cim.statements import ValueKind

_DATE_TIME: Final = re.compile(r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_FORMS: Final = {
    "dateTime": _DATE_TIME,
    "date": re.compile(r"-?\d{4,}-\d\d-\d\d(Z|[+-]\d\d:\d\d)?"),
    "gMonthDay": re.compile(r"--\d\d-\d\d(Z|[+-]\d\d:\d\d)?"),
    "integer": re.compile(r"[+-]?\d+"),
    "decimal": re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)"),
}
_REPEATABLE: Final = -1
_BOUNDS: Final = (">", ">=", "<", "<=")
_PHYSICAL: Final = ("EQ", "OP", "SC", "SSH", "SV")
"""Profiles whose ranges and pairs hold whatever a file declares: they are physics, not format."""
_PILOTS: Final = "sc:RegulatingControl.VoltageControlZone"
_MRID: Final = "IdentifiedObject.mRID"


# ---------------------------------------------------------------- classes and properties


@rule("schema.class", Severity.INFO, "a class that is not in CGMES, CIM17 or our profile", "类不在 CGMES、CIM17 或本系统扩展中")
def unknown_class(view: View) -> Iterator[Hits]:
    """Kept and written back, used by nobody."""
    for name, rows in view.class_rows.items():
        if not view.schema.is_known(name):
            yield from hits(rows, np.ones(len(rows), np.bool_), f"class {name} is not known; kept, but used by nothing")


@rule(
    "schema.property-class",
    Severity.WARNING,
    "a property of another class",
    "属性不属于该类",
    "IEC 61970-301",
)
def property_of_other_class(view: View) -> Iterator[Hits]:
    """``ACLineSegment.r`` on a breaker: nobody reads it."""
    names = view.model.class_names
    for prop, known in _known(view):
        subjects = _subjects(view, prop)
        family = set(view.schema.subclasses(known.domain)) | set(view.schema.ancestors(known.domain))
        wrong = {name for name in view.class_rows if name not in family and view.schema.in_cgmes(name)}
        if wrong:
            broken = view.is_of(subjects, wrong)
            yield from hits(
                subjects,
                broken,
                lambda i, prop=prop, rows=subjects: f"{prop} on a {names[rows[i]]}: nobody reads it",  # type: ignore[misc]
                prop=prop,
                hint=f"it belongs to {known.domain}",
                severity=Severity.INFO if known.domain == "IdentifiedObject" else None,
            )


@rule(
    "schema.kind",
    Severity.ERROR,
    "a literal where a reference belongs, or the reverse",
    "引用与文本混淆",
    "IEC 61970-552 8.2",
)
def wrong_kind(view: View) -> Iterator[Hits]:
    """Such a value is not read at all."""
    kinds = {"text": ValueKind.TEXT, "enum": ValueKind.ENUM, "ref": ValueKind.REF}
    words = {ValueKind.TEXT: "a literal", ValueKind.ENUM: "a value of an enumeration", ValueKind.REF: "a reference"}
    for prop, known in _known(view):
        wanted = kinds[known.kind]
        for column in view.model.columns(prop):
            if column.kind is not wanted:
                text = f"{prop} is given as {words[column.kind]}, not as {words[wanted]} ({known.type})"
                yield from hits(column.subjects, np.ones(len(column.subjects), np.bool_), text, prop=prop, hint="correct it")


@rule("schema.datatype", Severity.ERROR, "a value not of its type", "取值不符合数据类型", "IEC 61970-501, XSD")
def wrong_form(view: View) -> Iterator[Hits]:
    """Numbers, truth values, dates: judged by how they are written."""
    for prop, known in _known(view):
        column = view.model.column(prop)
        if column is None or known.kind != "text" or column.kind is not ValueKind.TEXT:
            continue
        if _malformed(known.type, _distinct(column)) is None:
            continue
        broken = _malformed(known.type, column.values)
        if broken is not None:
            yield from hits(
                column.subjects,
                broken,
                lambda i, prop=prop, column=column, known=known: (  # type: ignore[misc]
                    f"{prop} is {column.at(i)[:40]!r}, no {known.type}"
                ),
                prop=prop,
                hint=f"write a {known.type}",
                standard=f"{_prefix(view, prop)}:{prop}-datatype",
            )


@rule("schema.enum", Severity.WARNING, "a value that its enumeration does not have", "枚举取值不存在", "IEC 61970-501")
def not_in_enumeration(view: View) -> Iterator[Hits]:
    """An unknown word is read as none."""
    for prop, known in _known(view):
        column = view.model.column(prop)
        if column is None or known.kind != "enum" or column.kind is not ValueKind.ENUM:
            continue
        members = {f"{known.type}.{member}" for member in view.schema.enums.get(known.type, ())}
        if members and not members.issuperset(_distinct(column)):
            broken = np.fromiter((value not in members for value in column.values), np.bool_, len(column.subjects))
            yield from hits(
                column.subjects,
                broken,
                lambda i, prop=prop, column=column: f"{prop} is {column.at(i)[:60]}",  # type: ignore[misc]
                prop=prop,
                hint=f"one of {', '.join(sorted(view.schema.enums[known.type])[:12])}",
                standard=f"{_prefix(view, prop)}:{prop}-datatype",
            )


def _distinct(column: Column) -> Sequence[str]:
    """Its values, each at least once."""
    return column.store.table if isinstance(column.store, Coded) else column.values


def _malformed(type_: str, values: Sequence[str]) -> Bool | None:
    """Which values are not of an XSD type; None if all are."""
    if type_ == "boolean":
        if {"true", "false"}.issuperset(values):
            return None
        return np.fromiter((value.lower() not in ("true", "false", "0", "1") for value in values), np.bool_, len(values))
    if type_ == "float":
        numbers = as_floats(values)
        broken = ~np.isfinite(numbers)
        underscore = any("_" in value for value in values) if not broken.all() else False
        if underscore:
            broken |= np.fromiter(("_" in value for value in values), np.bool_, len(values))
        return broken if broken.any() else None
    form = _FORMS.get(type_)
    if form is None:
        return None
    broken = np.fromiter((form.fullmatch(value) is None for value in values), np.bool_, len(values))
    return broken if broken.any() else None


# ---------------------------------------------------------------- references


@rule("ref.class", Severity.ERROR, "a reference to an object of the wrong class", "引用了错误类别的对象", "IEC 61970-501")
def wrong_target(view: View) -> Iterator[Hits]:
    """What the reader of the reference expects is not there."""
    names = view.model.class_names
    for prop, known in _known(view):
        if known.kind != "ref" or not known.type:
            continue
        subjects, targets = view.links(prop)
        allowed = set(view.schema.subclasses(known.type))
        wrong = {name for name in view.class_rows if name not in allowed and view.schema.in_cgmes(name)}
        if wrong and len(targets):
            broken = view.is_of(targets, wrong)
            yield from hits(
                subjects,
                broken,
                lambda i, prop=prop, targets=targets, known=known: (  # type: ignore[misc]
                    f"{prop} refers to a {names[targets[i]]}, not to a {known.type}"
                ),
                prop=prop,
                hint=f"refer to a {known.type}",
                standard=f"{_prefix(view, prop)}:{prop}-valueType",
            )


@rule("ref.inverse", Severity.INFO, "a reference from the side that is not written", "引用写在了不应书写的一侧", "IEC 61970-501")
def inverse_side(view: View) -> Iterator[Hits]:
    """CGMES writes each association from one side only; the other is not read."""
    for prop, known in _known(view):
        if known.kind == "ref" and not known.used:
            subjects = _subjects(view, prop)
            text = f"{prop} is the side of the association that is not written; only the other one is read"
            yield from hits(subjects, np.ones(len(subjects), np.bool_), text, prop=prop, hint="give it at the other object")


# ---------------------------------------------------------------- profiles


@rule(
    "schema.required",
    Severity.WARNING,
    "a property that its profile requires is missing",
    "缺少子集要求的属性",
    "IEC 61970-600-2",
)
def missing(view: View) -> Iterator[Hits]:
    """Per profile that a file declares, of the objects that such files define."""
    for profile in view.schema.profile_uris:
        if profile not in view.profiles:
            continue
        subject = view.subject_to(profile)
        for class_name, table in view.schema.required(profile).items():
            rows = view.class_rows.get(class_name)
            if rows is None:
                continue
            mine = rows[subject[rows]]
            for prop, (least, _) in table.items():
                if least > 0 and len(mine):
                    yield from _missing(view, profile, mine, prop)


def _missing(view: View, profile: str, rows: Int32, prop: str) -> Iterator[Hits]:
    is_mrid = prop == _MRID
    yield from hits(
        rows,
        ~view.has(rows, prop),
        f"has no {prop}",
        hint="rdf:ID or rdf:about is taken for it" if is_mrid else f"give it; profile {profile} requires it",
        standard=f"{_owner(profile, prop)}:{prop}-cardinality",
        severity=Severity.INFO if is_mrid else None,
    )


define(
    "schema.contradiction",
    Severity.WARNING,
    "two files say different things of one property",
    "两个文件对同一属性说法不一",
    "IEC 61970-552",
)


@rule("schema.repeated", Severity.WARNING, "a property given more often than once", "属性重复给出", "IEC 61970-600-2")
def repeated(view: View) -> Iterator[Hits]:
    """Twice in one file; the same value in the files of two profiles is how CGMES is."""
    tables = [table for profile in view.schema.profile_uris for table in view.schema.required(profile).values()]
    many = {prop for table in tables for prop, (_, most) in table.items() if most == _REPEATABLE}
    once = {prop for table in tables for prop, (_, most) in table.items() if most == 1} - many
    for prop, known in _known(view):
        if prop in once:
            for column in view.model.columns(prop):
                yield from _repeated(prop, column, f"{_owner(known.profiles[0], prop)}:{prop}-cardinality")


def _repeated(prop: str, column: Column, standard: str) -> Iterator[Hits]:
    subjects = column.subjects
    if len(subjects) < 2 or bool((np.diff(subjects) > 0).all()):
        return
    order = np.argsort(subjects, kind="stable")
    again = np.zeros(len(subjects), np.bool_)
    again[order[1:]] = subjects[order][1:] == subjects[order][:-1]
    before = np.full(len(subjects), -1)
    before[order[1:]] = order[:-1]
    files = column.files
    places = np.flatnonzero(again)
    in_file = files[places] == files[before[places]]
    values = column.values
    apart = np.fromiter((values[place] != values[before[place]] for place in places), np.bool_, len(places))
    rows = subjects[places]
    yield from hits(
        rows, in_file, f"{prop} is given more than once", prop=prop, hint="keep one: only the first is read", standard=standard
    )
    yield from hits(
        rows,
        apart & ~in_file,
        lambda i: f"{prop} is {values[before[places[i]]][:40]!r} in one file and {values[places[i]][:40]!r} in another",
        prop=prop,
        hint="only the first is read",
        rule="schema.contradiction",
        standard=standard,
    )


# ---------------------------------------------------------------- ENTSO-E's value rules


define("schema.pair", Severity.WARNING, "two values that contradict each other", "两个取值相互矛盾", "IEC 61970-301, -452, -456")
define("schema.length", Severity.WARNING, "a text too long or too short", "文本过长或过短", "IEC 61970-301")
define("schema.values", Severity.WARNING, "a value that is not allowed here", "此处不允许的取值", "IEC 61970-452")
define("schema.count", Severity.WARNING, "too many or too few terminals or members", "端子或成员数量不符", "IEC 61970-301")
define("schema.container", Severity.WARNING, "in a container of the wrong class", "所属容器类别不符", "IEC 61970-452")


@rule("schema.range", Severity.WARNING, "a number outside its range", "数值超出允许范围", "IEC 61970-301, -452, -456")
def value_rules(view: View) -> Iterator[Hits]:
    """ENTSO-E's constraints that are tables; each finding has its id."""
    told: set[tuple[str, str]] = set()
    for one in load_schema(VERSIONS[-1]).rules:
        physical = one.op in (*_BOUNDS, "< property", "<= property") and one.profile in _PHYSICAL
        declared = one.profile in view.profiles and (one.op == "count" or view.schema.version == VERSIONS[-1])
        if not (physical or declared):
            continue
        key = (one.path[0], f"{one.op} {one.value}")
        if key not in told and any(name in view.class_rows for name in one.classes):
            told.add(key)
            yield from _broken_rule(view, one)


def _broken_rule(view: View, one: ValueRule) -> Iterator[Hits]:
    rows = np.sort(np.concatenate([view.class_rows[name] for name in one.classes if name in view.class_rows]))
    severity = Severity.INFO if one.warning else None
    message = one.message.rstrip(".").lower() if one.message else "is not allowed"
    broken, id_, value = _judge(view, rows, one)
    if broken.any():
        yield from hits(
            rows,
            broken,
            lambda i: f"{one.path[-1]}{value(i)}: {message}",
            prop=one.path[0] if one.op != "count" else "",
            rule=id_,
            standard=one.id,
            severity=severity,
        )


def _judge(view: View, rows: Int32, one: ValueRule) -> tuple[Bool, str, Callable[[int], str]]:
    """Which objects break the rule, the house's id for it, and the value for the message."""
    prop = one.path[0]
    if one.op in _BOUNDS:
        numbers = view.numbers(rows, prop)
        return ~_holds(numbers, one.op, one.value) & ~np.isnan(numbers), "schema.range", lambda i: f" = {numbers[i]:g}"
    if one.op.endswith("property"):
        left, right = view.numbers(rows, prop), view.numbers(rows, one.value)
        given = ~np.isnan(left) & ~np.isnan(right)
        broken = given & ~_holds(left, one.op.split()[0], right)
        return broken, "schema.pair", lambda i: f" = {left[i]:g}, {one.value} = {right[i]:g}"
    if one.op == "count":
        count = view.counts(prop)[rows]
        least, most = one.value
        rows = np.where(view.has(rows, _PILOTS), -1, rows)  # pilot nodes of AVC regulate by set-points
        count = np.where(rows < 0, least, count)
        return (count < least) | ((count > most) if most >= 0 else False), "schema.count", lambda i: f" {count[i]}x"
    words = view.words(rows, prop)
    if one.op in ("longest", "shortest"):
        length = np.fromiter(map(len, words), np.int64, len(words))
        broken = (words != "") & ((length > one.value) if one.op == "longest" else (length < one.value))
        return broken, "schema.length", lambda i: f" has {length[i]} letters"
    if one.op == "in":
        allowed = {value.rpartition(".")[2] if "." in prop and "." in value else value for value in one.value}
        broken = np.fromiter((word != "" and word not in allowed for word in words), np.bool_, len(words))
        return broken, "schema.values", lambda i: f" = {words[i]!r}"
    target = rows
    for step in one.path:
        target = np.where(target >= 0, view.target(np.maximum(target, 0), step), -1)
    broken = np.fromiter((row >= 0 and view.class_of(row) not in one.value for row in target), np.bool_, len(rows))
    return broken, "schema.container", lambda i: f" is a {view.class_of(int(target[i]))}, not a {' or '.join(one.value)}"


def _holds(left: np.typing.NDArray[np.float64], op: str, right: np.typing.NDArray[np.float64] | float) -> Bool:
    if op == ">":
        return np.asarray(left > right)
    if op == ">=":
        return np.asarray(left >= right)
    return np.asarray(left < right) if op == "<" else np.asarray(left <= right)


# ---------------------------------------------------------------- inside


def _known(view: View) -> Iterator[tuple[str, Property]]:
    for prop in view.model.property_names():
        known = view.schema.properties.get(prop)
        if known is not None:
            yield prop, known


def _subjects(view: View, prop: str) -> Int32:
    parts = [column.subjects for column in view.model.columns(prop)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _owner(profile: str, prop: str) -> str:
    return "ido" if prop.startswith("IdentifiedObject.") else profile.lower()


def _prefix(view: View, prop: str) -> str:
    return _owner(view.schema.properties[prop].profiles[0], prop)
