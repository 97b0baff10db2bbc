"""Pages: complete at their address, in the viewer's language, live where a script runs."""
