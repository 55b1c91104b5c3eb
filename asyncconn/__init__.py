"""asyncconn."""
