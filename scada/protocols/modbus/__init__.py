"""Modbus TCP: scan plan, register codec and driver."""
