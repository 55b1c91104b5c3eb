"""The nouns of the platform: one module for each group of them."""
