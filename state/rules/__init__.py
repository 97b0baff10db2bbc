"""Rules that need no database: what may be sent to whom, when, and in which form."""
