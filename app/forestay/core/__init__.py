"""The core: rooms, rights, limits and delivery. It knows no vendor and no socket."""
