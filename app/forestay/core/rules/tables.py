"""Reads the tables of one name in the operator's file of rooms."""

from collections.abc import Mapping, Sequence


def read_tables(name: str, value: object) -> Sequence[Mapping[str, object]]:
    """The `[[name]]` tables. `value`: what the file has under this name. Raises ValueError."""
    if not isinstance(value, list) or not all(isinstance(table, Mapping) for table in value):
        raise ValueError(f"{name} are written as [[{name}]] tables")
    return value
