"""Generated from proto/scadapb; do not edit."""
