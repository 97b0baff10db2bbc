"""Benches: each script prints what it does, and one JSON object as its last line."""
