"""What a scenario shows beside what came: a match of subsets that knows variables, and says where the two part."""

import re
from collections.abc import Mapping
from typing import Any, Final

ANY: Final = "any"
ABSENT: Final = "absent"
NULL: Final = "null"
_VARIABLE: Final = re.compile(r"<([a-z][a-z0-9_]*)>")

Known = dict[str, Any]


def differences(shown: object, came: object, known: Known) -> list[str]:
    """Where `came` is not what a scenario shows; nothing where it is, and then `known` has its new variables."""
    trial = dict(known)
    found = list(_differences(shown, came, trial, ""))
    if not found:
        known.update(trial)
    return found


def filled(shown: object, known: Known) -> Any:
    """What a scenario shows with its variables replaced, ready to be sent."""
    if isinstance(shown, str) and (name := _variable(shown)):
        if name == NULL:
            return None
        if name not in known:
            raise KeyError(f"<{name}> is used before anything gave it a value")
        return known[name]
    if isinstance(shown, Mapping):
        return {key: filled(value, known) for key, value in shown.items()}
    if isinstance(shown, list):
        return [filled(value, known) for value in shown]
    return shown


def addressed(shown: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The part of what a scenario shows that says which lane it is about."""
    words = {key: shown[key] for key in ("on", "type", "room", "as") if shown.get(key, f"<{ABSENT}>") != f"<{ABSENT}>"}
    return {key: filled(value, known) for key, value in words.items()}


def _variable(shown: str) -> str | None:
    found = _VARIABLE.fullmatch(shown)
    return found[1] if found else None


def _differences(shown: object, came: object, known: Known, where: str) -> list[str]:
    if isinstance(shown, str) and (name := _variable(shown)):
        if name == ANY:
            return []
        if name not in (NULL, ABSENT) and name not in known:
            known[name] = came
            return []
        shown = None if name in (NULL, ABSENT) else known[name]
    if isinstance(shown, Mapping) and isinstance(came, Mapping):
        found: list[str] = []
        for key, value in shown.items():
            path = f"{where}.{key}" if where else str(key)
            if key in came:
                absent = value == f"<{ABSENT}>" and came[key] is not None
                found += [f"{path}: should be absent, is {came[key]!r}"] if absent else []
                found += [] if absent else _differences(value, came[key], known, path)
            elif value != f"<{ABSENT}>":
                found.append(f"{path}: missing")
        return found
    if isinstance(shown, list) and isinstance(came, list) and len(shown) == len(came):
        pairs = enumerate(zip(shown, came, strict=True))
        return [line for index, (one, other) in pairs for line in _differences(one, other, known, f"{where}[{index}]")]
    same = shown == came and isinstance(shown, bool) == isinstance(came, bool)
    return [] if same else [f"{where or 'it'}: should be {shown!r}, is {came!r}"]
