"""The command line: a door, like HTTP. One module per command."""
