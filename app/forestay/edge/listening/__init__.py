"""Listens on both ports, and limits what connections cost until they are admitted."""
