"""The demo model: a script, so that everything can be tried without any account."""
