"""Reading for third parties over HTTP and JSON: a process of its own, a client of the server like any other, that only looks."""
