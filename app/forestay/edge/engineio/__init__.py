"""Serves Engine.IO 4: sessions over long polling and WebSocket, and the upgrade between them."""
