"""Automatic generation control and automatic voltage control."""
