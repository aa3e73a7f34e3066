"""Socket.IO clients: the namespaces of a client, who may enter them, and what their events do."""
