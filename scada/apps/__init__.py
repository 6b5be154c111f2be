"""Applications: tables in, decisions out; no thread, no socket, no wall clock."""
