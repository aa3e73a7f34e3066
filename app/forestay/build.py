"""Says whether this installation is compiled or plain Python."""

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final

# One for each of the two builders: see hatch_build.py.
_COMPILED: Final = ("forestay.core.fanout.passes", "forestay.speedups")


def kind() -> str:
    """Returns `compiled` or `plain`, or `mixed` where only a part is compiled, which no wheel of ours is."""
    compiled = {_is_compiled(name) for name in _COMPILED}
    if len(compiled) > 1:
        return "mixed"
    return "compiled" if compiled == {True} else "plain"


def _is_compiled(name: str) -> bool:
    spec = find_spec(name)
    return spec is not None and (spec.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
