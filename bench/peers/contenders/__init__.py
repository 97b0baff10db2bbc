"""One contender per file; each runs in an environment of its own (see `shape`)."""
