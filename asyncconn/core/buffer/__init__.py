"""Records held until they have left: in memory or in a file, in batches, in order, each accounted for."""
