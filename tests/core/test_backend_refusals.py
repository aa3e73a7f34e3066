"""What a backend hears where it asks for something that would do nothing, or names a room that is no room."""

import time

import pytest

from forestay.protocol.codes import ErrorCode, Refusal
from tests.support.core import Core
from tests.support.virtual_time import virtual


@virtual
async def test_a_revocation_that_is_over_is_refused() -> None:
    """It would revoke nothing, while the backend takes the user for shut out."""
    with pytest.raises(Refusal) as refused:
        await Core().pod.backend.revoke(None, "ada", None, 86_400.0)
    assert refused.value.code is ErrorCode.BAD_MESSAGE
    assert "Unix seconds" in refused.value.message
    await Core().pod.backend.revoke(None, "ada", None, time.time() + 60)


@virtual
async def test_the_personal_room_is_named_by_its_user() -> None:
    """`@me` is a room of clients alone."""
    with pytest.raises(Refusal) as refused:
        Core().pod.backend.room("@me")
    assert refused.value.code is ErrorCode.INVALID_ROOM
    assert "/v1/users/{user}/messages" in refused.value.message
