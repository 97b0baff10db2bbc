"""The doors: HTTP behind Caddy, pages, and the command line."""
