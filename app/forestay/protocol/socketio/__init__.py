"""Socket.IO: its packets, what they ask for, and how replies and messages are written to its clients."""
