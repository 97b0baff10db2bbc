"""Functions that run in processes of their own, and what such a process can do wrong."""
