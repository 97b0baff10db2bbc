"""Everything remembered, and the pure rules over it."""
