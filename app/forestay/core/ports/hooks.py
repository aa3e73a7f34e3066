"""The HookForm port: asks the application about what clients do, and tells it. There are two forms, Python and HTTP.

The events, in `hook_events`, and the answers are also what `forestay.hooks` offers to applications. A form asks about
one event, once. It keeps no time and counts nothing: `core/hooks` limits how long a hook takes and how many run,
whatever the form is.
"""

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, Protocol, TypeAlias, get_args

from forestay.core.ports.hook_events import HookEvent
from forestay.core.rules.hooks import Hook

HookFailure = Literal[
    "raised", "bad_answer", "too_large", "timeout", "busy", "unreachable", "status", "circuit_open", "dropped"
]
"""Why a hook gave no answer that can be used. The set is closed, because it is the label of a metric.

`raised`: the function raised. `bad_answer`: the answer is none, or none for this hook. `too_large`: the answer is
larger than a message may be. `timeout`: it came too late. `busy`: not asked, because too many hooks are under way.
Over HTTP alone, `unreachable`: no answer at all, `status`: another status than 200 or 204, `circuit_open`: not asked,
because the last ones failed. `dropped`: an event that is told, and that found too many others waiting.
"""

FAILURES: Final[tuple[HookFailure, ...]] = get_args(HookFailure)

LONGEST_CODE: Final = 64
"""Characters of the application's own code."""

LONGEST_SENTENCE: Final = 500
"""Characters of the application's own sentence."""

_LONGEST_TEXT: Final = 200

_CODE: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII).fullmatch
_NOT_IN_SENTENCES: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


class HookFailed(Exception):
    """A form has no answer. `failure`: why, from a closed set. The text is the cause, for the log: short, no secret."""

    def __init__(self, failure: HookFailure, cause: str) -> None:
        super().__init__(cause)
        self.failure: HookFailure = failure


def explained(error: BaseException) -> str:
    """What the application has raised, for the log: its type and the beginning of its text.

    The text is made by the application too, so it is left out where that raises.
    """
    if isinstance(error, asyncio.CancelledError):
        return "the hook cancelled itself"
    text = "its text cannot be read"
    with suppress(BaseException):
        text = str(error)[:_LONGEST_TEXT]
    return f"{type(error).__name__}: {text}"


class Allow:
    """Let it happen. `rooms`, for a connect alone: rooms that the client is put into, whatever its token allows."""

    __slots__ = ("rooms",)

    def __init__(self, rooms: Sequence[str] = ()) -> None:
        self.rooms = rooms


class Refuse:
    """Do not let it happen. The client gets the error code `refused_by_application`."""

    __slots__ = ("code", "message")

    def __init__(self, code: str, message: str) -> None:
        """`code`: the application's own, which clients get as `reason`. `message`: a sentence for a person.

        Raises ValueError: a code has 1 to 64 characters of A-Z a-z 0-9 _ . : -, a message 1 to 500 and no control
        characters.
        """
        if not _is_code(code):
            raise ValueError(f"the code of a refusal has 1 to {LONGEST_CODE} characters of A-Z a-z 0-9 _ . : -")
        if not _is_sentence(message):
            raise ValueError(
                f"the message of a refusal has 1 to {LONGEST_SENTENCE} characters, and no control characters"
            )
        self.code = code
        self.message = message


def _is_code(code: object) -> bool:
    return isinstance(code, str) and _CODE(code) is not None


def _is_sentence(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= LONGEST_SENTENCE and not _NOT_IN_SENTENCES(text)


class Replace:
    """Let a message pass with another payload: anything that JSON can say, or bytes for a binary message."""

    __slots__ = ("payload",)

    def __init__(self, payload: object) -> None:
        """A `msgspec.Raw` is taken as finished JSON."""
        self.payload = payload


class Result:
    """Answer a call with a payload: anything that JSON can say."""

    __slots__ = ("payload",)

    def __init__(self, payload: object = None) -> None:
        """A `msgspec.Raw` is taken as finished JSON."""
        self.payload = payload


HookAnswer: TypeAlias = Allow | Refuse | Replace | Result

ANSWERS: Final[Mapping[Hook, tuple[type[HookAnswer], ...]]] = {
    Hook.CONNECT: (Allow, Refuse),
    Hook.JOIN: (Allow, Refuse),
    Hook.BROADCAST: (Allow, Refuse, Replace),
    Hook.CALL: (Result, Refuse),
}
"""The answers that each hook may give. Those that are told give none."""


class HookForm(Protocol):
    """One form in which the application has its hooks."""

    def ask(self, event: HookEvent, /) -> Coroutine[object, object, object]:
        """Ask about `event`, or tell it. Returns what the application answered, of which nothing is believed yet.

        What is awaited raises HookFailed, or anything else where a function of the application raises it. It is
        cancelled when the time is over.
        """

    async def close(self) -> None:
        """Close what the form has open. Nothing is asked after that."""
