"""Data sources: how one is written, described, run and resumed."""
