"""Reads the answer of the application. It is as strict as can be: what is no clear answer allows nothing by mistake."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from forestay.core.ports.hooks import Allow, HookAnswer, HookFailed, Refuse, Replace, Result
from forestay.core.rules.hooks import Hook
from forestay.protocol.depth import deeper_than

REFUSED: Final = "refused"
"""The code of a refusal that has none."""

_SENTENCE: Final = "the application refused this"
_NOTHING: Final = Raw(b"")
_LONGEST_ERROR: Final = 200


class _Answer(Struct, forbid_unknown_fields=True):
    allow: bool | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    rooms: list[str] | UnsetType = UNSET
    payload: Raw = _NOTHING
    binary: bytes | UnsetType = UNSET
    result: Raw = _NOTHING


_decode: Final = msgspec.json.Decoder(_Answer).decode

_MORE: Final[Mapping[Hook, tuple[str, ...]]] = {
    Hook.CONNECT: ("rooms",),
    Hook.JOIN: (),
    Hook.BROADCAST: ("payload", "binary"),
    Hook.CALL: ("result",),
}
"""What the answer to each question may say beside whether it is allowed. One of these says that it is."""


def allowed(hook: Hook) -> HookAnswer:
    """The answer that has no body."""
    return Result(None) if hook is Hook.CALL else Allow()


def read_answer(hook: Hook, body: bytes, max_depth: int) -> HookAnswer:
    """The answer in `body` to a question of `hook`. `max_depth`: of what it may hold. Raises HookFailed."""
    try:
        body.decode()
        if deeper_than(body, max_depth + 1):
            raise _bad(f"nested deeper than {max_depth} arrays and objects")
        answer = _decode(body)
        if repeated := _repeated(body):
            raise _bad(f"`{repeated}` is there twice; say it once")
    except UnicodeDecodeError:
        raise _bad("not UTF-8") from None
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None
    except msgspec.DecodeError:
        raise _bad("not JSON") from None
    return _understood(hook, answer)


def _repeated(body: bytes) -> str | None:
    """A field of the object in `body` that is there more than once. Parsers do not agree which of them holds."""
    # Numbers stay texts: Python refuses to read long ones.
    pairs: list[tuple[str, object]] = json.loads(body, object_pairs_hook=list, parse_int=str, parse_float=str)
    [(name, times)] = Counter(name for name, _ in pairs).most_common(1) or [("", 0)]
    return name if times > 1 else None


def _understood(hook: Hook, answer: _Answer) -> HookAnswer:
    said = [name for name in _Answer.__struct_fields__ if _is_said(getattr(answer, name))]
    if answer.allow is False:
        return _refusal(answer, said)
    more = _MORE[hook]
    wrong = [name for name in said if name != "allow" and name not in more]
    if wrong:
        forms = " or ".join(f"`{name}`" for name in ("allow", *more))
        raise _bad(f"`{wrong[0]}` does not answer {hook.value}; say {forms}")
    if not said:
        raise _bad("an object that says nothing; say `allow`, or answer with status 204")
    if answer.payload and answer.binary is not UNSET:
        raise _bad("both `payload` and `binary`; say one of them")
    if answer.payload:
        return Replace(answer.payload)
    if answer.binary is not UNSET:
        return Replace(answer.binary)
    if hook is Hook.CALL:
        return Result(answer.result or None)
    return Allow([] if answer.rooms is UNSET else answer.rooms)


def _refusal(answer: _Answer, said: list[str]) -> Refuse:
    wrong = [name for name in said if name not in ("allow", "code", "message")]
    if wrong:
        raise _bad(f"`{wrong[0]}` beside a refusal; a refusal has `code` and `message`")
    code = REFUSED if answer.code is UNSET else answer.code
    try:
        return Refuse(code, _SENTENCE if answer.message is UNSET else answer.message)
    except ValueError as error:
        raise _bad(str(error)) from None


def _is_said(value: object) -> bool:
    return value is not UNSET and value != _NOTHING


def _bad(why: str) -> HookFailed:
    return HookFailed("bad_answer", f"the answer cannot be used: {why[:_LONGEST_ERROR]}")
