"""Chooses the functions that take masks off: those in C where `forestay.speedups` is installed."""

try:
    from forestay.speedups import unmask, whole_text
except ImportError:
    from forestay.protocol.websocket.masks import unmask, whole_text

__all__ = ["unmask", "whole_text"]
