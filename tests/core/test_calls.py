"""Calls: the application is asked, and its answer goes to the client by the id of the call."""

import pytest

from tests.support.core import Core, passes


async def test_a_call_that_no_hook_answers_is_refused() -> None:
    """Where the application takes no calls, the client hears so, as from a gateway that knows none."""
    core = Core()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="orders.create", payload={})
    await passes()
    error = transport.heard()[-1]
    assert (error["type"], error["id"], error["payload"]["code"]) == ("error", "1", "unknown_type")
    assert "takes no calls" in error["payload"]["message"]


@pytest.mark.parametrize("method", ["", "x" * 129, "a\nb"])
async def test_a_method_that_is_no_name_is_refused(method: str) -> None:
    """The refusal has the id of the call, and says what a method is."""
    core = Core()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method=method)
    await passes()
    error = transport.heard()[-1]
    assert (error["id"], error["payload"]["code"]) == ("1", "bad_message")
    assert "the method of a call" in error["payload"]["message"]
