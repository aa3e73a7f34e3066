"""An event has a name that harms no stock Socket.IO client, and a payload that is its arguments."""

import pytest

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import MOST_ARGUMENTS, RESERVED, SPOKEN, check_event, check_method


@pytest.mark.parametrize("event", ["chat message", "a", "x" * 128, "ä", "forestay", "Connect", "message"])
def test_an_application_names_its_events_as_it_likes(event: str) -> None:
    """A name of 1 to 128 characters without a control character is taken."""
    check_event(event, b"[]", by_client=False)


@pytest.mark.parametrize(
    "event",
    [*sorted(RESERVED), "", "x" * 129, "a\nb", "a\0", "\x7f", "\x85", "\ud800", "forestay:position", "forestay:"],
)
def test_a_name_that_could_harm_a_client_is_refused(event: str) -> None:
    """Refused are the names that stock clients use themselves, those of the gateway, and texts that are no names."""
    with pytest.raises(Refusal) as refused:
        check_event(event, b"[]", by_client=False)
    assert refused.value.code is ErrorCode.BAD_MESSAGE


@pytest.mark.parametrize("event", sorted(SPOKEN))
def test_a_client_does_not_speak_as_the_gateway(event: str) -> None:
    """A client could otherwise send a `message` with the `from` of another user."""
    check_event(event, b"[]", by_client=False)
    with pytest.raises(Refusal, match="choose another name"):
        check_event(event, b"[]", by_client=True)


@pytest.mark.parametrize("payload", [b"{}", b'"a"', b"1", b"null", b""])
def test_the_payload_of_an_event_is_an_array(payload: bytes) -> None:
    """A payload of an event that is anything else is refused."""
    with pytest.raises(Refusal, match="array"):
        check_event("a", payload, by_client=False)


def test_the_arguments_of_an_event_are_bounded() -> None:
    """JavaScript fails on a call with far more of them, and a Node process with such a client ends."""
    check_event("a", b"[%b]" % b",".join([b"0"] * MOST_ARGUMENTS), by_client=False)
    check_event("a", b'[[%b],"%b"]' % (b",".join([b"0"] * 20_000), b"," * 20_000), by_client=False)
    with pytest.raises(Refusal, match="10000 arguments"):
        check_event("a", b"[%b]" % b",".join([b"0"] * (MOST_ARGUMENTS + 1)), by_client=False)


@pytest.mark.parametrize("payload", [b"[" + b"1," * 20_000, b"[" * 100_000 + b"," * 20_000])
def test_what_is_no_json_is_left_to_others(payload: bytes) -> None:
    """An envelope of the bus is looked at before its payload is parsed."""
    check_event("a", payload, by_client=False)


@pytest.mark.parametrize("method", ["a", "orders.create", "chat message", "disconnect", "x" * 128])
def test_a_method_is_named_freely(method: str) -> None:
    """Names of Socket.IO's events can be methods, also those that no message may have."""
    check_method(method)


@pytest.mark.parametrize("method", ["", "x" * 129, "a\nb", "\x00", "\ud800"])
def test_a_method_has_a_length_and_no_control_characters(method: str) -> None:
    """It appears in logs, and in the requests that the application gets."""
    with pytest.raises(Refusal, match="the method of a call has") as refused:
        check_method(method)
    assert refused.value.code is ErrorCode.BAD_MESSAGE
