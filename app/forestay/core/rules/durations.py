"""Reads durations as people write them, such as 30s, 5m and 1h30m. A number alone is seconds."""

import re
from math import isfinite
from typing import Final

# Milliseconds: so that a sum of parts has no rounding that a reader would see.
_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_NUMBER: Final = re.compile(r"\+?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)", re.ASCII)
# Letters divide the numbers, so a text can be read in one way. With many ways a long one would take for ever.
_WHOLE: Final = re.compile(r"(?=\d)(?:\d+(?:\.\d+)?[a-z]+)*(?:\d+(?:\.\d+)?)?", re.ASCII)
_FORMS: Final = "write it like 500ms, 30s, 5m, 1h30m or 7d, or as a number of seconds"


def parse_duration(text: str) -> float:
    """The seconds of a duration, a finite number. Raises ValueError, without the text: its reader has it already."""
    seconds = _seconds(text.lower())
    if not isfinite(seconds):
        raise ValueError(f"not a finite duration; {_FORMS}")
    return seconds


def _seconds(lower: str) -> float:
    if _NUMBER.fullmatch(lower):
        return float(lower)
    if lower.startswith("-"):
        raise ValueError(f"a duration cannot be negative; {_FORMS}")
    if _WHOLE.fullmatch(lower) is None:
        spaces = any(char.isspace() for char in lower)
        raise ValueError(f"not a duration{': leave out the spaces' if spaces else ''}; {_FORMS}")
    milliseconds, last = 0.0, -1
    order = list(_UNITS)
    for number, unit in _PART.findall(lower):
        if unit not in _UNITS:
            what = f"{unit[:12]} is no unit" if unit else f"{number[:12]} has no unit"
            raise ValueError(f"not a duration: {what}; {_FORMS}")
        if order.index(unit) <= last:
            raise ValueError(f"not a duration: each unit stands once, the largest first; {_FORMS}")
        last = order.index(unit)
        milliseconds += float(number) * _UNITS[unit]
    return milliseconds / 1000
