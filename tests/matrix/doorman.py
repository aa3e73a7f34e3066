"""A module of hooks that lets nobody in. It is how a check gets a 403."""

from forestay.hooks import ConnectEvent, Refuse


async def connect(event: ConnectEvent) -> Refuse:
    return Refuse("banned", "this account is banned")
