"""One attempt on the wire, two ways: by the session's public methods, or straight to the connector of a hub's own."""
