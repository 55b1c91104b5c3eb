"""How often a call may go: windows, buckets and quotas, and a limiter that keeps several of them at once."""
