"""Imports point down only, and no directory or module is named for nothing."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"core"},
    {"protocols", "rtdb", "model_cim", "events", "control", "history", "security", "expressions"},
    {"apps"},
    {"actors"},
    {"api", "sim", "cli", "rest"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# Outside the pure floors' rule: a driver wraps its library's sockets (sockets.py is a part of the IEC 104 driver), a server
# carries the outstation machine, diagrams are drawn by a worker process, cancellation helps the drivers, the conformance kit runs
# them. A lock is no thread: what any thread may read has one.
EDGES = {
    "driver.py",
    "sockets.py",
    "transport.py",
    "server.py",
    "diagrams.py",
    "cancellation.py",
    "conformance.py",
    "conformance_rig.py",
    "broker.py",
    "child.py",
    "external_signer.py",  # its one call of the site's program that drives a token
    "admission.py",  # of the OPC UA server: its protocol class
}
FORBIDDEN_BELOW_ACTORS = {"socket", "threading", "asyncio", "pykka", "grpc", "subprocess"}


def modules():
    for path in sorted((ROOT / "scada").rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            only_lock = node.module == "threading" and [alias.name for alias in node.names] == ["Lock"]
            yield "threading.Lock" if only_lock else node.module, node.lineno


def test_imports_point_down_only():
    wrong = []
    for path, tree in modules():
        parts = path.relative_to(ROOT / "scada").parts
        if len(parts) < 2:
            continue
        floor = FLOOR[parts[0]]
        for name, line in imported(tree):
            bits = name.split(".")
            if (bits[0] == "scada_hmi" and parts[0] != "cli") or (
                bits[0] == "scada" and len(bits) > 1 and FLOOR.get(bits[1], -1) > floor
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def test_the_pure_floors_know_no_thread_and_no_socket():
    wrong = []
    for path, tree in modules():
        parts = path.relative_to(ROOT / "scada").parts
        if len(parts) < 2 or FLOOR[parts[0]] > 2 or path.name in EDGES:
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{line} imports {name}"
            for name, line in imported(tree)
            if name.split(".")[0] in FORBIDDEN_BELOW_ACTORS and name != "threading.Lock"
        ]
    assert wrong == []


def test_c104_stays_in_its_own_process():
    users = [
        str(path.relative_to(ROOT)) for path, tree in modules() if any(name.split(".")[0] == "c104" for name, _ in imported(tree))
    ]
    assert users == ["scada/protocols/c104/child.py", "scada/sim/outstation_c104.py"]


def test_names_say_what_is_inside():
    empty = {"utils", "util", "helpers", "common", "misc"}
    assert [str(path) for path, _ in modules() if empty & set(path.with_suffix("").parts)] == []
