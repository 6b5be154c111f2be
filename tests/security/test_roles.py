from __future__ import annotations

import re
from pathlib import Path

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.errors import SecurityError
from scada.security.envelope import EnvelopeError
from scada.security.roles import (
    DEFAULT_ROLES,
    METHOD_RIGHTS,
    ROLES,
    Right,
    is_responsible,
    load_roles,
    may_call,
    rights_of,
    system_principal,
)

METHODS = {
    f"/{service.full_name}/{method.name}" for service in pb.DESCRIPTOR.services_by_name.values() for method in service.methods
}


def principal(*roles, areas=("*",)):
    return Principal("x", frozenset(roles), frozenset(rights_of(roles)), frozenset(areas))


def test_every_call_of_the_proto_is_in_the_table_and_no_other():
    assert set(METHOD_RIGHTS) == METHODS
    assert len(METHODS) > 20


def test_what_the_roles_must_never_do():
    for role in ("VIEWER", "ENGINEER", "INSTALLER", "SECADM", "SECAUD", "RBACMNT", "GUARDIAN", "DISPATCHER", "SERVER"):
        assert not rights_of([role]) & {Right.CONTROL, Right.SETPOINT, Right.EMERGENCY, Right.BYPASS}
    acts = {
        f"/scadapb.v1.{name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.input_type.name == "Signed"
        for name in (f"{service.name}/{method.name}",)
        # the signed question what became of an order, and what every session does to itself
        if name != "Dispatch/GetOrder" and service.name != "Session"
    }
    for role in ("VIEWER", "SERVER", "SECAUD", "RBACMNT"):
        assert {method for method in acts if may_call(principal(role), method)} == set(), role
    guarding = {method for method in acts if may_call(principal("GUARDIAN"), method)}
    assert guarding == {"/scadapb.v1.Control/Confirm", "/scadapb.v1.Programmes/Confirm"}
    managing = {method for method in acts if may_call(principal("SECADM"), method)}
    assert {method.split("/")[1] for method in managing} == {"scadapb.v1.Security"}
    assert not rights_of(["OPERATOR"]) & {Right.SECURITY, Right.DISPATCH, Right.ENGINEER, Right.EMERGENCY, Right.BYPASS}
    assert may_call(principal("OPERATOR"), "/scadapb.v1.Control/Select")
    assert may_call(principal("DISPATCHER"), "/scadapb.v1.Dispatch/SendSetpoint")


def test_separation_of_duties():
    assert DEFAULT_ROLES.conflict({"GUARDIAN", "OPERATOR"}) == ""
    assert DEFAULT_ROLES.conflict({"ENGINEER", "INSTALLER", "VIEWER"}) == ""
    for other in ("OPERATOR", "GUARDIAN", "ENGINEER", "SECAUD", "DISPATCHER", "SHIFT_LEADER"):
        assert DEFAULT_ROLES.conflict({"SECADM", other}), other
        assert other == "SECAUD" or DEFAULT_ROLES.conflict({"SECAUD", other}), other
    assert DEFAULT_ROLES.conflict({"DISPATCHER", "OPERATOR"})
    assert "no person" in DEFAULT_ROLES.conflict({"SERVER", "VIEWER"})
    assert set(DEFAULT_ROLES.excluded("VIEWER")) == {"SERVER"}
    # a right that nobody thought of when the exclusions were written must not slip between them
    administrator, auditor = DEFAULT_ROLES.exclusions[:2]
    for one in (administrator, auditor):
        assert one.rights | one.excludes == set(Right) - {Right.VIEW, Right.HISTORY}


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site-roles.toml"

    def write(text, mode=0o600):
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def test_a_site_adds_roles_takes_rights_and_adds_exclusions(site):
    table = load_roles(
        site(
            """
            [CREW]
            rights = ["VIEW", "TAG"]
            [OPERATOR]
            without = ["SHELVE", "REPLAY"]
            [[exclusion]]
            why = "who tags does not guard"
            rights = ["TAG"]
            excludes = ["GUARD"]
            """
        )
    )
    assert table.rights["CREW"] == {Right.VIEW, Right.TAG}
    assert ROLES["OPERATOR"] - table.rights["OPERATOR"] == {Right.SHELVE, Right.REPLAY}
    assert table.conflict({"CREW", "GUARDIAN"}).startswith("who tags does not guard")
    assert table.conflict({"SECADM", "CREW"}), "the exclusions of the product stay"
    assert "CREW" not in ROLES


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[CREW", "not TOML"),
        ('[CREW]\nrights = ["FLY"]', "unknown right FLY"),
        ('[CREW]\nrights = "VIEW"', "list of names"),
        ('[crew]\nrights = ["VIEW"]', "capital letters"),
        ('[CREW]\nright = ["VIEW"]', "unknown entries right"),
        ('[OPERATOR]\nrights = ["VIEW", "BYPASS"]', "unknown entries rights"),
        ('[OPERATOR]\nwithout = ["BYPASS"]', "never had BYPASS"),
        ('[KING]\nrights = ["SECURITY", "CONTROL"]', "excludes itself"),
        ('[SPY]\nrights = ["AUDIT", "ENGINEER"]', "excludes itself"),
        ('[[exclusion]]\nrights = ["TAG"]', "excludes nothing"),
        ('[[exclusion]]\nalone = ["NOBODY"]', "unknown role NOBODY"),
        ("CREW = 1", "must be a table"),
    ],
)
def test_a_bad_file_of_roles_is_refused(site, text, fault):
    with pytest.raises(SecurityError, match=fault):
        load_roles(site(text))


def test_a_file_of_roles_that_others_may_write_is_refused(site):
    with pytest.raises(SecurityError, match="others may write"):
        load_roles(site("", 0o666))


def test_denied_by_default():
    everything = principal(*ROLES)
    assert not may_call(everything, "/scadapb.v1.Control/Destroy")
    assert not may_call(everything, "Control/Select")
    assert not may_call(principal(), "/scadapb.v1.Realtime/Read")


def test_areas():
    assert is_responsible(principal(areas=("*",)), "A")
    assert is_responsible(principal(areas=("North",)), "Substation 1", "North")
    assert not is_responsible(principal(areas=("North",)), "Substation 1", "South")
    assert not is_responsible(principal(areas=()), "A")
    assert not is_responsible(principal(areas=("",)), "", "")


def test_unknown_role():
    with pytest.raises(SecurityError, match="KING"):
        rights_of(["KING"])


def test_system_principal_has_only_what_it_was_given():
    agc = system_principal("agc", {Right.SETPOINT})
    assert agc.rights == {"SETPOINT"}
    assert agc.session == ""


def test_the_documentation_lists_the_roles_as_they_are():
    docs = Path(__file__).parents[2] / "docs"
    told = dict(
        re.findall(r"^\| ([A-Z_]+) \| ([A-Z, ]+) \|$", (docs / "security/rights.md").read_text("utf-8"), flags=re.MULTILINE)
    )
    assert {role: set(rights.split(", ")) for role, rights in told.items()} == {
        role: {right.value for right in rights} for role, rights in ROLES.items() if rights
    }


def test_the_documentation_names_every_refusal_of_an_envelope():
    docs = Path(__file__).parents[2] / "docs"
    text = "".join(path.read_text(encoding="utf-8") for path in (docs / "security.md", *(docs / "security").glob("*.md")))
    assert {kind.code for kind in EnvelopeError.__subclasses__() if f"`{kind.code}`" not in text} == set()
