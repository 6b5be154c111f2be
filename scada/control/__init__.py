"""Control sequences, interlocks and tags."""
