"""Operator station: serves the page on loopback, holds the operator's key, tunnels gRPC over one WebSocket."""
