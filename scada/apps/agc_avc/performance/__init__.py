"""Performance of regulation, as grid codes judge it."""
