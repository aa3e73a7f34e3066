"""Reads an `Accept` header with its q values (RFC 9110 §12.4.2)."""

from email.message import Message
from math import isfinite


def by_preference(accept: str) -> list[str]:
    """The media ranges of `accept`, the most wanted first, without those that are not wanted. Equal ones keep order."""
    preferences = [(_quality(each), each) for each in accept.split(",")]
    return [each for quality, each in sorted(preferences, key=lambda one: -one[0]) if quality > 0]


def kind_of(media_range: str) -> str:
    """A media range without its parameters, in lower case."""
    return media_range.partition(";")[0].strip().lower()


def _quality(media_range: str) -> float:
    """The q value of `media_range`; 1 where it has none, or one that cannot be read."""
    header = Message()
    header["Accept"] = media_range.strip()
    try:
        quality = float(str(header.get_param("q", "1", header="Accept")))
    except ValueError:
        return 1.0
    return quality if isfinite(quality) else 1.0
