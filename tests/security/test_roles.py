from __future__ import annotations

import re
from pathlib import Path

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.errors import SecurityError
from scada.security.envelope import EnvelopeError
from scada.security.roles import METHOD_RIGHTS, ROLES, Right, is_responsible, may_call, rights_of, system_principal

METHODS = {
    f"/{service.full_name}/{method.name}" for service in pb.DESCRIPTOR.services_by_name.values() for method in service.methods
}


def principal(*roles, areas=("*",)):
    return Principal("x", frozenset(roles), frozenset(rights_of(roles)), frozenset(areas))


def test_every_call_of_the_proto_is_in_the_table_and_no_other():
    assert set(METHOD_RIGHTS) == METHODS
    assert len(METHODS) > 20


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_matrix(role, method):
    needed = METHOD_RIGHTS[method]
    assert may_call(principal(role), method) == (not needed or bool(needed & ROLES[role]))


def test_what_the_roles_must_never_do():
    for role in ("VIEWER", "ENGINEER", "INSTALLER", "SECADM", "SECAUD", "RBACMNT", "GUARDIAN", "DISPATCHER", "SERVER"):
        assert not rights_of([role]) & {Right.CONTROL, Right.SETPOINT}
    for role in ("VIEWER", "SERVER", "SECAUD", "GUARDIAN"):
        for method in METHODS:
            if method.startswith(("/scadapb.v1.Control/", "/scadapb.v1.Dispatch/Send")):
                assert not may_call(principal(role), method)
    assert not rights_of(["OPERATOR"]) & {Right.SECURITY, Right.DISPATCH, Right.ENGINEER}
    assert may_call(principal("OPERATOR"), "/scadapb.v1.Control/Select")
    assert may_call(principal("DISPATCHER"), "/scadapb.v1.Dispatch/SendSetpoint")


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
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| ([A-Z]+) \| ([A-Z, ]+) \|$", text, flags=re.MULTILINE))
    assert {role: set(rights.split(", ")) for role, rights in told.items()} == {
        role: {right.value for right in rights} for role, rights in ROLES.items() if rights
    }
    for kind in EnvelopeError.__subclasses__():
        assert f"`{kind.code}`" in text
