"""CIM device model: reader, SC profile, tables, topology, checks."""
