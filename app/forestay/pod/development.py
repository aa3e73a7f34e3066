"""Says what is other in development, with `serve --dev`: which pages may connect, and what rooms remember."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import forestay
from forestay.core.rules.policies import Policy, Retention
from forestay.web.guests import Guests

# Enough to come back to, also after a lunch. It is held in the memory of this machine.
_KEPT: Final = Retention(size=200, ttl=3600)
TREE: Final = Path(forestay.__file__).parents[2]
_TELLING: Final = Policy(presence=True, join_leave=True)
_ROOMS: Final = tuple(replace(_TELLING, pattern=pattern, history=_KEPT) for pattern in ("chat.lobby", "log.*"))


@dataclass(frozen=True, slots=True)
class Development:
    """What a gateway for development does besides. Its presence lets the pages of this machine connect."""

    otherwise: Policy = _TELLING
    """The policy of rooms that match no pattern. Tables of the file of rooms are filled up from it."""
    rooms: tuple[Policy, ...] = _ROOMS
    """Policies that are tried after those of the file. The examples of the pages use these rooms."""
    tree: Path = TREE
    """The folder that has the documentation. An installed package has none in this place."""
    guests: Guests | None = None
    """Gives the tabs of the demo page their tokens; None where the gateway can mint none."""
