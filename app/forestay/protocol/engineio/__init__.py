"""Engine.IO 4: packets, the payloads of long polling, and the errors of requests."""
