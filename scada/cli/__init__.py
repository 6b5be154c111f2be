"""The ``scada`` command."""
