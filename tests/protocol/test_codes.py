"""Every ending has a reason and a verdict, and each close code of a peer gets the answer of RFC 6455."""

import pytest

from forestay.protocol.codes import ENDINGS, CloseCode, Ending, Verdict, answer_to_close, verdict
from forestay.protocol.v1.encoder import Encoder

COMES_BACK = {1001, 1006, 1011, 1012, 1013, 4408, 4413, 4429}


@pytest.mark.parametrize("code", CloseCode)
def test_every_close_code_has_a_reason_that_fits(code: CloseCode) -> None:
    """A control frame holds at most 125 bytes, and two of them are the code."""
    frame = Encoder(lambda: 0.0).close(ENDINGS[code])
    assert 4 < len(frame) <= 127
    assert frame[1] == len(frame) - 2


def test_an_overlong_reason_is_cut_between_characters() -> None:
    """The reason that is sent stays valid UTF-8."""
    frame = Encoder(lambda: 0.0).close(Ending(1000, "é" * 100))
    assert len(frame) <= 127
    assert frame[4:].decode() == "é" * 61


@pytest.mark.parametrize("code", [*range(1000, 1016), *range(4400, 4430), 3000, 4999])
def test_each_code_has_one_verdict(code: int) -> None:
    """A client comes back after some codes, once with a new token after 4401, and stops after all others."""
    expected = Verdict.RECONNECT if code in COMES_BACK else Verdict.RENEW_TOKEN if code == 4401 else Verdict.STOP
    assert verdict(code) is expected


@pytest.mark.parametrize("code", [1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_code_that_must_not_be_sent_is_a_protocol_error(code: int) -> None:
    """A code that RFC 6455 §7.4 does not allow is answered with 1002."""
    assert answer_to_close(code) == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_code_that_may_be_sent_is_answered_with_itself(code: int) -> None:
    """An allowed code is repeated. A close without a code is answered with 1000."""
    assert answer_to_close(code) == code
    assert answer_to_close(0) == 1000
