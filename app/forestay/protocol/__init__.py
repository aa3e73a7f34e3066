"""The protocol: requests, replies, messages, names and codes. Pure functions without loop, clock or socket."""
