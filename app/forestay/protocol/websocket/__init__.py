"""The frames of WebSocket: writes those of a server, and reads those of clients."""
