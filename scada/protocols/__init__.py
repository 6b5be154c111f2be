"""Field protocols: pure machines and the drivers that carry them."""
