"""Back-ups: one file that holds a snapshot of everything, and its way back."""
