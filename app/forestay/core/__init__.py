"""WHAT HAPPENS: rooms, rights, limits and delivery; no vendor, no socket."""
