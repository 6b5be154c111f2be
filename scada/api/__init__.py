"""gRPC face and its client."""
