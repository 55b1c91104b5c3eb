"""Atoti Limits: connect a session to its Limits server, and manage limits."""
