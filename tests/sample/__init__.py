"""Functions that the tests run: as a package of function files, so that real processes find it."""
