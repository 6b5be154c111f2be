"""An address in words."""

from __future__ import annotations

from scada.model_cim.addresses import Address, Iec104Address, ModbusAddress, OpcUaAddress
from scada.model_cim.modbus import modbus_text


def address_text(address: Address | None) -> str:
    """An address as a person reads it; empty for none.

    >>> address_text(Iec104Address(11, 1201, 36))
    'CA 11 IOA 1201 type 36'
    """
    match address:
        case None:
            return ""
        case Iec104Address():
            return f"CA {address.common_address} IOA {address.ioa} type {address.type_id}"
        case ModbusAddress():
            return modbus_text(address)
        case OpcUaAddress():
            return address.node_id
        case _:
            return address.text
