"""Settings, profiles, faults of meters, registers and the local socket."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import POINT_DTYPE
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind
from scada.sim.faults import PointFaults
from scada.sim.outstation_modbus import from_registers, to_registers
from scada.sim.profiles import LoadProfile, OrnsteinUhlenbeck, Weather
from scada.sim.settings import KINDS, LoadSettings, SimSettings, UnitSettings, WeatherSettings, load_sim_settings
from scada.sim.wire import Kind, PlantLink, Setup, json_frame, parse_values, setup_frame, values_frame


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed = 'x'", "[seed]"),
        ("[load]\ndaily = [1.0]", "[load.daily]"),
        ("[units.G1]\ninertia = 3", "[units.G1.inertia]"),
        ("[network]\nbreaker_s = 0", "[network.breaker_s]"),
        ("seed = ", "not TOML"),
    ],
)
def test_wrong_settings_name_the_key(tmp_path, text, told):
    path = tmp_path / "sim.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_sim_settings(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_units_settings_stand_over_its_kind():
    unit = UnitSettings(droop=0.08).over(KINDS["thermal"])
    assert unit.droop == 0.08
    assert unit.inertia_s == KINDS["thermal"].inertia_s
    assert all(value is not None for kind in KINDS.values() for value in kind.model_dump().values())
    assert SimSettings().load.daily[19] == max(SimSettings().load.daily)


def test_the_random_walk_has_its_deviation_whatever_the_step():
    for step in (1.0, 60.0, 600.0):
        walk = OrnsteinUhlenbeck(0.02, 600.0, 4000, 3)
        for _ in range(5):
            value = walk.advance(step)
        assert value.std() == pytest.approx(0.02, rel=0.06)
        assert abs(value.mean()) < 0.002


def test_loads_follow_the_curve_and_weather_the_day():
    quiet = LoadProfile(LoadSettings(noise=0.0), 3, 1)
    assert quiet.factors(19.0, 1.0) == pytest.approx([1.07] * 3)
    assert quiet.factors(23.5, 1.0) == pytest.approx([(0.82 + 0.78) / 2] * 3)
    weather = Weather(WeatherSettings(cloud_noise=0.0, wind_noise=0.0), 2, 1)
    weather.advance(2.0, 1.0)
    assert weather.solar_share.tolist() == [0, 0]
    assert weather.wind_share == pytest.approx([(8.5**3 - 27) / (12**3 - 27)] * 2)
    weather.advance(12.25, 1.0)
    assert weather.solar_share == pytest.approx([0.95 * 0.85] * 2)
    weather.wind_m_s = np.array([2.9, 26.0])
    assert weather.wind_share.tolist() == [0, 0]


def test_meter_faults_stack_and_clear():
    faults = PointFaults()
    quality = np.zeros(3, np.uint32)
    sent = np.array([1.0, np.nan, 3.0])
    faults.frozen[0] = math.nan
    faults.forced[1] = 9.0
    faults.quality[2] = int(Quality.INVALID)
    for reading in (5.0, 6.0):
        value, marked = faults.apply(np.full(3, reading), quality.copy(), sent)
        assert value.tolist() == [1.0, 9.0, reading]
        assert marked.tolist() == [0, 0, 0x80]
    assert faults.holds(0)
    assert not faults.holds(2)
    faults.clear(0)
    faults.clear(1)
    value, _ = faults.apply(np.full(3, 7.0), quality.copy(), sent)
    assert value.tolist() == [7.0, 7.0, 7.0]
    faults.clear()
    assert not faults.quality


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["int16", "uint16", "int32", "uint32", "float64"]),
    order=st.sampled_from(["big", "little"]),
    raw=st.integers(-(2**33), 2**33),
)
def test_registers_hold_what_fits_and_clip_the_rest(kind, order, raw):
    address = ModbusAddress(1, "holding", 0, kind, order)
    back = from_registers(address, to_registers(address, float(raw)))
    bits = {"int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}
    low, high = bits.get(kind, (raw, raw))
    assert back == min(max(raw, low), high)


def test_float_registers_are_ieee_754_big_endian():
    assert to_registers(ModbusAddress(1, "input", 0, "float32"), 1.5) == list(struct.unpack(">2H", struct.pack(">f", 1.5)))
    assert math.isnan(
        from_registers(ModbusAddress(1, "input", 0, "float32"), to_registers(ModbusAddress(1, "input", 0, "float32"), math.nan))
    )


def _control():
    return Control(
        4, "m", "S/B/1", "1", ControlKind.DOUBLE, "SwitchPosition", "", "e", "S", 0, ModbusAddress(1, "coil", 0), None, "1"
    )


async def test_the_local_socket_carries_setup_values_and_answers_in_order():
    plant_side, theirs = socket.socketpair()
    link = PlantLink(theirs)
    records = np.zeros(3, POINT_DTYPE)
    records["pid"] = [1, 2, 3]
    setup = Setup(ChannelSpec(0, "m", "C", "iec104", "h", 1, "S"), "iec104", [], [_control()], 2.0, 7, records)
    plant_side.sendall(setup_frame(setup))
    received = link.receive_setup()
    assert (received.rate, received.epoch_ns, received.controls[0].path) == (2.0, 7, "S/B/1")
    assert received.values.tolist() == records.tolist()
    frames, asked = [], []
    link.serve(lambda kind, payload: frames.append((kind, payload)))

    def plant():
        """The plant, in a thread of its own: the station's loop waits for its answer."""
        plant_side.setblocking(True)
        length, kind = struct.unpack("!IB", plant_side.recv(5))
        asked.append((kind, json.loads(plant_side.recv(length))))
        plant_side.sendall(values_frame(records) + json_frame(Kind.ANSWER, id=1, accepted=True))

    thread = threading.Thread(target=plant)
    thread.start()
    assert link.command(_control(), 2.0, select_only=False)
    thread.join()
    assert asked == [(Kind.COMMAND, {"id": 1, "cid": 4, "value": 2.0, "select": False})]
    await asyncio.sleep(0.05)
    assert [kind for kind, _ in frames] == [Kind.VALUES]
    assert parse_values(frames[0][1])["pid"].tolist() == [1, 2, 3]
    plant_side.close()
    await asyncio.wait_for(link.closed.wait(), 2)
    assert not link.command(_control(), 2.0, select_only=False), "without a plant every command is refused"
    theirs.close()
