"""The nouns of the client."""
