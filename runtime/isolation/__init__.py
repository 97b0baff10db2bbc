"""Attempts in processes of their own: a fork server, its children, and who talks to them."""
