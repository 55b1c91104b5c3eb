"""Ratios of asyncconn to its peers, measured interleaved in one run."""
