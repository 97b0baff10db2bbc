"""Stand-ins for third parties: strict where they are strict, and as unreliable as they are."""
