"""Ideas with no platform and no network in them; each usable alone."""
