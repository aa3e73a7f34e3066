"""Quotes text of strangers in messages: short, in ASCII, and never more than one line."""

import json
from collections.abc import Sequence
from typing import Final

_LONGEST: Final = 100
_MOST: Final = 5


def quoted(value: object) -> str:
    """`value` as JSON, cut after some characters. Escapes everything but printable ASCII."""
    if not isinstance(value, str):
        return "missing" if value is None else "of another type"
    text = json.dumps(value[:_LONGEST])
    return text if len(value) <= _LONGEST else f"{text}…"


def listed(values: Sequence[str]) -> str:
    """Several values, quoted; not more than some of them."""
    shown = [quoted(value) for value in values[:_MOST]]
    if len(values) > _MOST:
        shown.append(f"and {len(values) - _MOST} more")
    return ", ".join(shown) or "none"
