"""Fault injection: one JSON line asks, one answers, on a loopback socket.

The socket has no token: it is bound to the loopback address of a simulator, which has no part in a real plant.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
from collections.abc import Callable
from typing import Any, Self

from scada.actors.ports import check_port
from scada.core.errors import ConfigError, ScadaError
from scada.core.quality import Quality
from scada.sim.runner import Simulator

_HOST = "127.0.0.1"


class SimError(ScadaError):
    """The simulator did not do what it was asked."""


class FaultDesk:
    """What can be done to a running simulator, by word.

    Args:
        simulator: the running one.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._active: dict[int, tuple[str, str, Callable[[], None]]] = {}
        self._number = 0
        self._verbs: dict[str, Callable[..., Any]] = {
            "trip": self.trip,
            "open": lambda name: self.operate(name, close=False),
            "close": lambda name: self.operate(name, close=True),
            "freeze": self.freeze,
            "noise": self.noise,
            "value": self.value,
            "quality": self.quality,
            "drop": self.drop,
            "kill": self.kill,
            "restore": self.restore,
            "local": lambda name: self.local(name, local=True),
            "remote": lambda name: self.local(name, local=False),
            "clear": self.clear,
            "list": self.listed,
            "status": self.status,
        }

    def answer(self, line: bytes) -> bytes:
        """Carry out one request ``{"do": verb, "args": [...]}``."""
        try:
            request = json.loads(line)
            verb = self._verbs.get(request["do"])
            if verb is None:
                raise ConfigError(f"no such word {request['do']!r}", mend=f"one of {', '.join(self._verbs)}")
            reply = {"ok": True, "result": verb(*request.get("args", []))}
        except ScadaError as error:
            reply = {"ok": False, "error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            reply = {"ok": False, "error": f"wrong request: {error}"}
        return json.dumps(reply).encode() + b"\n"

    # ------------------------------------------------------------------ names

    def _switch(self, name: str) -> int:
        """Switch by mRID or path of its position (``Station/Level/Bay/Number``, the last parts if they are enough)."""
        gear, tables = self._simulator.switchgear, self._simulator.tables
        if name in gear.switch_index:
            return gear.switch_index[name]
        wanted = f"/{name}".casefold()
        found = {
            point.equipment
            for point in tables.points
            if point.measurement_type == "SwitchPosition"
            and (f"/{point.path}".casefold().endswith((wanted, f"{wanted} position")))
            and point.equipment in gear.switch_index
        }
        return gear.switch_index[_only(found, "switch", name)]

    def _row(self, name: str) -> int:
        """Scanned point by pid, mRID or path."""
        tables, instruments = self._simulator.tables, self._simulator.instruments
        point = tables.by_path.get(name) or tables.by_mrid.get(name)
        pid = int(point.pid) if point is not None else int(name) if name.isdigit() else -1
        if pid not in instruments.row_of_pid:
            raise ConfigError(f"no measured point {name!r}", mend="give its path, mRID or number")
        return instruments.row_of_pid[pid]

    def _note(self, what: str, target: str, undo: Callable[[], None]) -> int:
        self._number += 1
        self._active[self._number] = (what, target, undo)
        return self._number

    # ------------------------------------------------------------------ verbs

    def trip(self, unit: str) -> dict[str, Any]:
        """Open the breakers of a unit, or one breaker, as protection does."""
        gear = self._simulator.switchgear
        rows = [row for row, m in enumerate(self._simulator.plant.equipment.machines) if unit in (m.name, m.mrid, m.unit_id)]
        switches = gear.breakers_of(rows[0]) if rows else [self._switch(unit)]
        gear.trip(switches)
        ids = self._simulator.plant.equipment.grid.switch_ids
        return {"opened": [ids[switch] for switch in switches]}

    def operate(self, name: str, *, close: bool) -> dict[str, Any]:
        """Operate a switch by hand on the spot; the bay's interlocks hold."""
        switch = self._switch(name)
        gear = self._simulator.switchgear
        gear.check_switch(switch, close=close, where=name)
        gear.operate(switch, close=close)
        return {"switch": self._simulator.plant.equipment.grid.switch_ids[switch]}

    def freeze(self, point: str) -> int:
        """The point keeps the value it shows."""
        row, faults = self._row(point), self._simulator.faults
        faults.frozen[row] = math.nan
        return self._note("freeze", point, lambda: faults.clear(row))

    def noise(self, point: str, sigma: float) -> int:
        """Noise of this standard deviation on a point."""
        row, faults = self._row(point), self._simulator.faults
        faults.noise[row] = _finite(sigma)
        return self._note(f"noise {sigma:g}", point, lambda: faults.clear(row))

    def value(self, point: str, value: float) -> int:
        """The point reads ``value``."""
        row, faults = self._row(point), self._simulator.faults
        faults.forced[row] = _finite(value)
        return self._note(f"value {value:g}", point, lambda: faults.clear(row))

    def quality(self, point: str, bits: int | str) -> int:
        """Quality bits on a point: a number, or names of :class:`Quality` joined by ``|``."""
        row, faults = self._row(point), self._simulator.faults
        faults.quality[row] = _bits(bits)
        return self._note(f"quality {faults.quality[row]:#x}", point, lambda: faults.clear(row))

    def drop(self, channel: str, seconds: float) -> None:
        """The links of a channel are down for ``seconds`` (simulated)."""
        self._simulator.drop(self._simulator.outstation(channel), _finite(seconds))

    def kill(self, channel: str, seconds: float | None = None) -> int:
        """Kill the outstation's process; it comes back after ``seconds`` (simulated) or when restored."""
        outstation = self._simulator.outstation(channel)
        now = self._simulator.clock.monotonic()
        outstation.held_until = math.inf if seconds is None else now + _finite(seconds)
        self._simulator.end(outstation)
        return self._note("kill", channel, lambda: self._release(channel))

    def restore(self, channel: str) -> None:
        """Let a killed outstation start again."""
        self._release(channel)
        self._active = {n: fault for n, fault in self._active.items() if (fault[0], fault[1]) != ("kill", channel)}

    def _release(self, channel: str) -> None:
        outstation = self._simulator.outstation(channel)
        if outstation.held_until is not None:
            outstation.held_until = 0.0

    def local(self, name: str, *, local: bool) -> None:
        """Switch a channel's station, or a unit, to local (it refuses remote commands) or back to remote."""
        gear = self._simulator.switchgear
        for row, machine in enumerate(self._simulator.plant.equipment.machines):
            if name in (machine.name, machine.mrid, machine.unit_id):
                gear.unit_remote[row] = not local
                return
        index = self._simulator.outstation(name).spec.index
        (gear.local.add if local else gear.local.discard)(index)

    def clear(self, number: int | None = None) -> int:
        """Undo one listed fault, or all; switches stay as they are. Returns how many were undone."""
        chosen = list(self._active) if number is None else [int(number)]
        for n in chosen:
            if n not in self._active:
                raise ConfigError(f"no fault number {n}", mend="see `scada sim fault list`")
            self._active.pop(n)[2]()
        if number is None:
            self._simulator.switchgear.local.clear()
            self._simulator.switchgear.unit_remote[:] = True
        return len(chosen)

    def listed(self) -> list[dict[str, Any]]:
        """Faults in force."""
        return [{"number": n, "fault": what, "target": target} for n, (what, target, _) in self._active.items()]

    def status(self) -> dict[str, Any]:
        """The plant in short."""
        simulator = self._simulator
        plant = simulator.plant
        islands = plant.solution.islands
        return {
            "time_ns": plant.now_ns,
            "rate": simulator.rate,
            "frequency_hz": plant.frequencies(),
            "export_mw": plant.exports(),
            "load_mw": float(plant.load_mw()[0].sum()),
            "solved": plant.solution.converged,
            "islands": len(islands),
            "faults": len(self._active),
            "late": simulator.late,
            "units": {
                machine.name: {
                    "p_mw": round(float(p), 3),
                    "q_mvar": round(float(q), 3),
                    "target_mw": round(float(target), 3),
                    "online": bool(online),
                }
                for machine, p, q, target, online in zip(
                    plant.equipment.machines,
                    plant.machine_p,
                    plant.machine_q,
                    plant.dynamics.target,
                    plant.dynamics.online,
                    strict=True,
                )
            },
            "channels": {
                o.spec.name: {
                    "ready": o.ready,
                    "port": o.spec.port,
                    "implementation": o.implementation,
                    "restarts": o.restarts,
                    "pid": o.process.pid if o.process is not None else 0,
                }
                for o in simulator.outstations
            },
        }


def _only(found: set[str], kind: str, name: str) -> str:
    if len(found) != 1:
        how = "no" if not found else f"{len(found)} of them match"
        raise ConfigError(f"{kind} {name!r}: {how}", mend="give the whole path or the mRID")
    return next(iter(found))


def _finite(value: float | str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ConfigError(f"{value!r} is not a number")
    return number


def _bits(bits: int | str) -> int:
    if isinstance(bits, int):
        return bits & 0xFFFF_FFFF
    try:
        return int(bits, 0) & 0xFFFF_FFFF
    except ValueError:
        pass
    try:
        return int(sum({Quality[name.strip().upper()] for name in bits.split("|")}))
    except KeyError as error:
        raise ConfigError(f"no quality bit {error}", mend=f"of {', '.join(Quality.__members__)}") from error


async def serve_admin(simulator: Simulator, port: int) -> asyncio.Server:
    """Listen for requests on the loopback address; port 0 takes any free one.

    Raises:
        PortInUseError: another process has the port.
    """
    check_port(_HOST, port, "fault injection")
    desk = FaultDesk(simulator)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, line by line."""
        try:
            while line := await reader.readline():
                writer.write(desk.answer(line))
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # gone, or a line beyond the limit
        finally:
            writer.close()

    return await asyncio.start_server(serve, _HOST, port)


class SimClient:
    """Asks a running simulator; for tests and the command line. Blocks; one request at a time.

    Args:
        port: the simulator's admin port.
        timeout: seconds to wait for an answer.

    Raises:
        SimError: nobody listens there.
    """

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        try:
            self._socket = socket.create_connection((_HOST, port), timeout)
        except OSError as error:
            raise SimError(
                f"no simulator listens on port {port}: {error.strerror or error}", mend="start `scada sim`, or give --admin PORT"
            ) from error
        self._file = self._socket.makefile("rb")

    def do(self, verb: str, *args: Any) -> Any:
        """Ask; returns the result.

        Raises:
            SimError: with the simulator's reason.
        """
        try:
            self._socket.sendall(json.dumps({"do": verb, "args": args}).encode() + b"\n")
            line = self._file.readline()
        except OSError as error:
            raise SimError(f"the simulator does not answer: {error}") from error
        if not line:
            raise SimError("the simulator has ended")
        reply = json.loads(line)
        if not reply["ok"]:
            raise SimError(reply["error"])
        return reply["result"]

    def status(self) -> dict[str, Any]:
        """The plant in short."""
        found = self.do("status")
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
