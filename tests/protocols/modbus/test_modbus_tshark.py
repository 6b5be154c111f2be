"""tshark is the judge: what we send is what it reads, and what our describer says is what it says."""

import shutil
import struct
import subprocess

import pytest

from scada.protocols.modbus import exchange
from scada.protocols.modbus.describe import ModbusDescriber
from scada.protocols.modbus.exchange import MbapExchange

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not shutil.which("tshark") or not shutil.which("text2pcap"), reason="needs tshark and text2pcap"),
]


def dissected(frames, ports, fields, tmp_path):
    """Fields of each frame, as tshark sees it between these ports."""
    dump, capture = tmp_path / "frames.txt", tmp_path / "frames.pcap"
    dump.write_text("".join(f"000000 {frame.hex(' ')}\n" for frame in frames))
    subprocess.run(["text2pcap", "-q", "-T", ports, dump, capture], check=True, capture_output=True)
    named = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", capture, "-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "fields", *named]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [tuple(line.split("\t")) for line in lines]


def test_requests(tmp_path):
    requests = [
        exchange.read(7, "coil", 3, 9),
        exchange.read(7, "discrete", 4, 2000),
        exchange.read(7, "holding", 100, 125),
        exchange.read(7, "input", 65535, 1),
        exchange.write_coils(7, 12, [1], multiple=False),
        exchange.write_registers(7, 13, [9], multiple=False),
        exchange.write_coils(7, 14, [1, 0, 1], multiple=False),
        exchange.write_registers(7, 15, [9, 8], multiple=False),
        exchange.mask_write(7, 16, 0x0001, 0x0003),
    ]
    link = MbapExchange()
    frames = [link.begin(request) for request in requests]
    found = dissected(
        frames, "1024,502", ("mbtcp.trans_id", "mbtcp.unit_id", "modbus.func_code", "modbus.reference_num"), tmp_path
    )
    assert found == [
        (str(number), "7", str(request.function), str(int.from_bytes(request.pdu[1:3], "big")))
        for number, request in enumerate(requests, start=1)
    ]
    describer = ModbusDescriber(rtu=False)
    for frame, (transaction, unit, _, register) in zip(frames, found, strict=True):
        (said,) = describer.feed(frame, received=False)
        assert said.text.startswith(f"[{transaction}] unit {unit} ")
        assert f" {register}" in said.text


def test_answers(tmp_path):
    pdus = [b"\x03\x04\x12\x34\xff\xff", b"\x83\x02", b"\x86\x06"]
    frames = [struct.pack(">HHHB", at, 0, len(pdu) + 1, 7) + pdu for at, pdu in enumerate(pdus, start=1)]
    found = dissected(frames, "502,1024", ("modbus.func_code", "modbus.regval_uint16", "modbus.exception_code"), tmp_path)
    link = MbapExchange()
    link.begin(exchange.read(7, "holding", 100, 2))
    assert found[0][1] == ",".join(str(word) for word in link.feed(frames[0]).registers().tolist())
    describer = ModbusDescriber(rtu=False)
    said = [describer.feed(frame, received=True)[0].text for frame in frames]
    assert "1234 ffff" in said[0]
    assert [code for _, _, code in found] == ["", "2", "6"]
    assert all(f"exception {code} " in text for (_, _, code), text in zip(found[1:], said[1:], strict=True))
