"""Models in memory and edits of them, for the tests of differences."""

from functools import cache

from hypothesis import strategies as st

from scada.model_cim.difference import diff_models
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind

CLASSES = ("Breaker", "ACLineSegment", "sc:Device")
OBJECTS = tuple(f"o{number}" for number in range(7))
NAME, NOMINAL, KIND = "IdentifiedObject.name", "sc:RemotePoint.scale", "Measurement.unitSymbol"
CONTAINER, NODES = "Equipment.EquipmentContainer", "TopologicalIsland.TopologicalNodes"


@cache
def empty():
    """A model that says nothing."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "EQ.xml"
        file.write_text('<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>')
        return ModelReader(file).read()


def build(objects, statements):
    """A model that says these statements of these objects (class by mRID)."""
    return empty().edited(Difference(added=objects, forward=tuple(statements)))


def literals(mrid):
    """Statements an object may make, one value a property."""
    return st.fixed_dictionaries(
        {},
        optional={
            NAME: st.sampled_from(["A", "B", "1.0", "1.00", ""]).map(lambda text: Statement(mrid, NAME, text)),
            NOMINAL: st.sampled_from(["1", "1.0", "2.5", "junk"]).map(lambda text: Statement(mrid, NOMINAL, text)),
            KIND: st.sampled_from(["UnitSymbol.W", "UnitSymbol.V"]).map(lambda text: Statement(mrid, KIND, text, ValueKind.ENUM)),
        },
    )


@st.composite
def models(draw, objects=OBJECTS):
    """Any model of a few objects in which every reference finds its object."""
    classes = draw(st.dictionaries(st.sampled_from(objects), st.sampled_from(CLASSES)))
    statements = []
    present = sorted(classes)
    for mrid in present:
        statements += draw(literals(mrid)).values()
        statements += [
            Statement(mrid, CONTAINER, to, ValueKind.REF) for to in draw(st.lists(st.sampled_from(present), max_size=1))
        ]
        nodes = draw(st.lists(st.sampled_from(present), max_size=3, unique=True))
        statements += [Statement(mrid, NODES, to, ValueKind.REF) for to in nodes]
    return build(classes, draw(st.permutations(statements)))


def same(one, other):
    """True if two models say the same to the letter."""
    return not diff_models(one, other, spelling=True) and one.class_counts() == other.class_counts()
