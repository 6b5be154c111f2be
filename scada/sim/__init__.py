"""Plant simulator: physics, faults, and outstations reached only through protocols."""
