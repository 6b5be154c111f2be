"""Automatic generation control of control areas."""
