"""Partitions of work, done by one process or by a cluster: each once, and every row of it whole or not at all.

``running`` has :func:`collect`, ``working`` does a batch, wherever that is; ``folders`` and ``keyed`` take the rows.
"""
