"""Protocol version 1: JSON text and binary messages over WebSocket."""
