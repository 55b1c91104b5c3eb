"""Messages of TCUP as they come: over MQTT, WebSocket and server-sent events."""
