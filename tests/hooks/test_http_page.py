"""What the page about hooks says of HTTP: its questions are what the gateway writes, its answers what it reads."""

import json
from typing import Any, Final

import pytest

from forestay.core.ports.hook_events import Caller, JoinEvent
from forestay.core.ports.hooks import FAILURES
from forestay.core.rules.hooks import TOLD, Hook
from forestay.outbound.hooks.answers import read_answer
from forestay.outbound.hooks.asker import KEEP
from forestay.outbound.hooks.breaker import _MOVES, FIRST_REST, LONGEST_REST, THRESHOLD
from forestay.outbound.hooks.http_hooks import _BESIDE
from forestay.outbound.hooks.questions import encode_question
from tests.support.repository import ROOT, blocks, codes, rows

PAGE: Final = "docs/hooks-http.md"


def table(about: str) -> list[list[str]]:
    """The rows of the table whose first column is headed so, as far as they begin with code."""
    return [row for row in rows(PAGE, about) if codes(row[0])]


ANSWERS: Final = [codes(row[0])[0] for row in table("Answer")]


def test_the_question_of_the_page_is_what_is_sent() -> None:
    """Field by field."""
    [request] = blocks(PAGE, "http")
    shown: dict[str, Any] = json.loads(request.partition("\n\n")[2])
    data = shown["data"]
    caller = Caller(data["user"], json.dumps(data["claims"]).encode(), data["connection"], data["wire"])
    asked = encode_question(shown["id"], shown["timestamp"], JoinEvent(caller, data["room"]))
    assert json.loads(asked) == shown


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_the_page_can_be_used(answer: str) -> None:
    """By the questions that it is for."""
    [row] = [row for row in table("Answer") if answer in row[0]]
    hooks = [Hook(name) for name in codes(row[1]) if name in list(Hook)] or [hook for hook in Hook if hook not in TOLD]
    for hook in hooks:
        read_answer(hook, answer.encode(), 10)


def test_the_page_has_each_question() -> None:
    """In its table."""
    assert {codes(row[0])[0] for row in table("Type")} == set(Hook)


def test_the_page_has_each_move_of_the_breaker() -> None:
    """In its table of states."""
    moves = {(codes(row[0])[0], codes(row[1])[0]) for row in table("State")}
    assert moves == {(state.value, to.value) for state, targets in _MOVES.items() for to in targets}


def test_the_page_names_the_reasons_of_failures() -> None:
    """Those that the metrics have."""
    reasons = [codes(row[1])[0] for row in rows(PAGE, about="What comes") if codes(row[1])]
    assert set(reasons) == set(FAILURES) - {"raised", "dropped"}


def test_the_page_has_the_numbers_of_the_code() -> None:
    """How long connections are kept, when the breaker opens, how long it rests, and how much is read."""
    text = " ".join((ROOT / PAGE).read_text().split())
    assert f"Idle connections are kept for {KEEP:g} s." in text
    assert (THRESHOLD, FIRST_REST) == (5, 1)
    assert "After five failures in a row the pod does not ask for a second" in text
    assert f"doubles the rest, up to {LONGEST_REST:g} s." in text
    assert f"twice `FORESTAY_MAX_MESSAGE_BYTES` and {_BESIDE // 1024} KiB" in text
