"""Chooses the functions that take masks off: those in C where `forestay.speedups` is installed."""

try:
    from forestay.speedups import text_at, unmask, whole_text
except ImportError:
    from forestay.protocol.websocket.masks import text_at, unmask, whole_text

__all__ = ["text_at", "unmask", "whole_text"]
