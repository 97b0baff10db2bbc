"""What the system does: one handler function per file, discovered by name."""
