"""History of samples."""
