"""The one road to the network."""
