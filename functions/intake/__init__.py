"""Reading what WhatsApp posts."""
