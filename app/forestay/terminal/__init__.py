"""The commands that a person types: ping a gateway, use rooms, generate load."""
