"""Every code has its words and its verdict."""

import re

import pytest
from websockets.exceptions import ProtocolError
from websockets.frames import Close

from app.protocol.codes import (
    ABNORMAL_CLOSURE,
    ENDINGS,
    ENDS_AT_ONCE,
    SERVICE_RESTART,
    CloseCode,
    ErrorCode,
    Refusal,
    Verdict,
    answer_to_close,
    verdict,
)

COME_BACK = {1001, 1006, 1011, 1012, 1013, 4408, 4413, 4429}


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_has_an_ending(code: CloseCode) -> None:
    """A connection can be ended with each code, and the reason fits into a close frame uncut."""
    ending = ENDINGS[code]
    assert ending.code == code
    assert 0 < len(ending.reason.encode()) <= 123


def test_every_close_code_may_be_sent() -> None:
    """Each is a code that RFC 6455 lets an endpoint put on the wire; 1006 is not among them."""
    for code in CloseCode:
        Close(code, "").check()
    assert ABNORMAL_CLOSURE not in set(CloseCode)
    assert SERVICE_RESTART not in set(CloseCode)


@pytest.mark.parametrize(
    "code", sorted({*CloseCode, ABNORMAL_CLOSURE, SERVICE_RESTART, 0, 1003, 1005, 1010, 4000, 4999})
)
def test_every_code_has_one_verdict(code: int) -> None:
    """Come back after what was ours or passed, once with a new token after 4401, stop after the rest."""
    expected = Verdict.RECONNECT if code in COME_BACK else Verdict.RENEW_TOKEN if code == 4401 else Verdict.STOP
    assert verdict(code) is expected


def test_a_code_nobody_listed_means_stop() -> None:
    """No range decides: of all the codes that can exist only the listed ones bring a client back."""
    assert {code for code in range(5000) if verdict(code) is Verdict.RECONNECT} == COME_BACK


def test_a_close_frame_is_answered_as_the_standard_says() -> None:
    """With its own code where a peer may send that, 1000 where it had none, else 1002: as another library decides."""
    assert answer_to_close(0) == 1000
    for code in range(1, 65536):
        try:
            Close(code, "").check()
        except ProtocolError:
            assert answer_to_close(code) == 1002, code
        else:
            assert answer_to_close(code) == code, code


def test_only_overload_ends_at_once() -> None:
    """What was queued is dropped only for those who are ended for not taking it."""
    assert {4413, 1013} == ENDS_AT_ONCE


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_code_is_its_name(code: ErrorCode) -> None:
    """On the wire a refusal is called what we call it: small letters and underscores."""
    assert code.value == code.name.lower()
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.value)


def test_a_refusal_carries_its_message() -> None:
    """Code, words for a person, and where known the time to wait."""
    refusal = Refusal(ErrorCode.RATE_LIMITED, "slower", retry_after=1.5)
    assert (refusal.code, refusal.message, str(refusal), refusal.retry_after) == (
        "rate_limited",
        "slower",
        "slower",
        1.5,
    )
    assert Refusal(ErrorCode.FORBIDDEN, "no").retry_after is None
