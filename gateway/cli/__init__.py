"""The command line: one module per command; only the one that is run is imported."""
