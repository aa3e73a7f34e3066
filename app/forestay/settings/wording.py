"""Says in our words what is wrong with the value of a setting, where the library's words are for programmers."""

from collections.abc import Mapping
from typing import Final

_SIMPLE: Final = {
    "int_parsing": "not a whole number; write digits only, such as 10000",
    "int_from_float": "not a whole number; write digits only, such as 10000",
    "int_parsing_size": "not a whole number that can be read; write fewer digits",
    "float_parsing": "not a number; write it like 10 or 0.5",
    "finite_number": "not a finite number; write it like 10 or 0.5",
    "bool_parsing": "neither yes nor no; write on or off",
}
_BOUNDS: Final = {
    "greater_than": ("gt", "must be above"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be below"),
    "less_than_equal": ("le", "must be at most"),
}


def reason(kind: str, context: Mapping[str, object], message: str) -> str:
    """What is wrong, and what to write. `kind`, `context` and `message`: those of pydantic's error."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context.get(name)}"
    if kind in ("enum", "literal_error"):
        return f"not one of the words that are known; write {context.get('expected')}"
    return message.removeprefix("Value error, ")


def shown_default(value: object) -> str:
    """A default as a person writes it; empty where there is none to show."""
    match value:
        case None | [] | "":
            return ""
        case bool():
            return "on" if value else "off"
        case list():
            return " ".join(map(str, value))
        case float():
            return f"{value:g}"
        case _:
            return str(value)
