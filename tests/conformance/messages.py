"""Malformed messages: pieces of JSON, valid and not, put together as a client would and then mutated."""

import random
from dataclasses import dataclass
from typing import Final

from tests.conformance.wire import BINARY, TEXT


@dataclass(frozen=True, slots=True)
class Environment:
    """Values of the running gateway that inputs contain."""

    token: str
    """A token for the rooms below `fuzz`."""
    foreign_token: str
    """A token of another user."""
    api_key: str
    forbidden_room: str
    """A room outside the token's rights."""


SHARED_ROOM: Final = "fuzz.shared"
"""The room in which a witness receives the messages of the inputs."""

_TYPES = ("join", "leave", "broadcast", "broadcast", "broadcast", "ping", "pong", "bind", "presence", "history", "auth")
_FIELDS = (
    "type",
    "room",
    "id",
    "payload",
    "key",
    "since",
    "echo",
    "traceparent",
    "tracestate",
    "timestamp",
    "from",
    "rooms",
)
_ROOMS = (
    *("fuzz.a", "fuzz.a.b", "@me", "@somebody", "fuzz", "", ".", "fuzz..a", "-fuzz", "**"),
    *("fuzz.*", "FUZZ.SHARED", "\uff46uzz.a", "fuzz.a\u200b", "fuzz.\u0430", "../fuzz", "__proto__", "fuzz.a\x00"),
    "x" * 129,
)
_SCALARS = (
    *("null", "true", "false", "0", "-0", "1", "-1", "1.0", "1e2", "4294967295", "4294967296"),
    *("-2147483649", "9007199254740993", "18446744073709551616", "1e308", "1e309", "-1e400", "1E-400", "2.5e+3"),
    *("9" * 400, "-" + "9" * 4301, "1" * 5000, "0." + "3" * 5000, "1e" + "9" * 40, "12345678901234567890.5e-10"),
)
_NOT_JSON = (
    *("NaN", "Infinity", "-Infinity", "nan", "0123", ".5", "1.", "+1", "0x1f", "1_000", "'a'", "undefined", "None"),
    *("/**/1", "1//", '"\t"', '"\n"', '"\\x41"', '"\\u12"', '"\\', '"', "{", "}", "[", "]", ",", "{,}", "[1,]"),
)
_STRINGS = (
    *('""', '"a"', '"\\u0000"', '"\\u2028\\u2029"', '"\u2028"', '"\\ud800"', '"\\udfff\\ud800"', '"\\uD83D\\uDE00"'),
    *('"😀"', '"\\""', '"\\\\"', '"\\/"', '"\\b\\f\\n\\r\\t"', '"\x7f"', '"\u0085"', '"﻿"', '"\U0010ffff"', '"\ufdd0"'),
    *('"\\u001b[31m"', '"%s%n{}"', '"</script>"', '"\' or 1=1--"', '"__proto__"', '"constructor"', '"e\u0301"'),
)
_NESTED = (
    *("{}", "[]", "[[]]", '{"a":1,"a":2}', '{"":{}}', '{"__proto__":{"x":1}}', '{"type":"broadcast"}', "[1,[2,[3]]]"),
    *('{"epoch":"e","offset":1}', '{"epoch":"","offset":-1}', '{"epoch":1,"offset":"1"}', '{"type":7}', '{"type":-1}'),
)
# Repeated, these could take minutes in a parser that backtracks.
_TIRING = ('"', '\\"', '"x\\', "\\", '"\\\\', "[]", "[[]],", '{"a":', "1", "1.", "1e", "ey", "a.", " ", "\\u0022", "=,")
_SPACES = (" ", "\t", "\n", "\r\n", "  ", "\u00a0", "\ufeff", "\x0b")
_CHARACTERS = '{}[]":,\\/ut0159eE+-.nulltruefalse \x00\x1f\x7f\u0080\u00e9\u2028\ufeff\uffff\U0001f600'


def text_message(rng: random.Random, environment: Environment) -> bytes:
    """A text message that may be a valid request. It is not always UTF-8, and not always short."""
    text = _object(rng, environment)
    if rng.random() < 0.3:
        text = _mutilated(rng, text)
    if rng.random() < 0.03:
        text = text[: rng.choice((1, len(text)))] + _repetitive(rng)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.03:
        data = _flipped(rng, data)
    return data


def noise(rng: random.Random) -> tuple[int, bytes]:
    """Random bytes, and the opcode of their message."""
    size = rng.choice((rng.randrange(16), rng.randrange(300), rng.randrange(3000), _boundary(rng)))
    chance = rng.random()
    if chance < 0.4:
        return BINARY, rng.randbytes(size)
    if chance < 0.45:
        # Nobody may get it: a client has sent text in the wrong kind of frame.
        text = rng.choice((*_NESTED, '{"type":"auth","payload":{"token":"x"}}')).ljust(4)
        return BINARY, text.encode(rng.choice(("utf-8", "utf-8-sig", "utf-16-le", "utf-16")))
    if rng.random() < 0.2:
        return TEXT, rng.randbytes(min(size, 200))
    return TEXT, "".join(rng.choices(_CHARACTERS, k=min(size, 20_000))).encode()


def _boundary(rng: random.Random) -> int:
    """A size at a boundary: of the frame's length field, or of the message cap."""
    return rng.choice((0, 3, 4, 125, 126, 127, 65535, 65536, 65537, 70000)) if rng.random() < 0.1 else 126


def _object(rng: random.Random, environment: Environment) -> str:
    kind = rng.choice(_TYPES)
    fields = {"type": f'"{kind}"', "id": '"c1"'}
    if kind not in ("ping", "pong", "auth"):
        fields["room"] = _quoted(_room(rng, environment))
    if kind == "join" and rng.random() < 0.3:
        del fields["room"]
        fields["rooms"] = _rooms(rng, environment)
    if kind == "broadcast":
        fields["payload"] = _value(rng)
    elif kind == "bind":
        fields["payload"] = f'{{"type":{rng.choice(("0", "1", "7", "4294967295", "4294967296", "-1", "1.5"))}}}'
    elif kind == "auth":
        fields["payload"] = f'{{"token":{_quoted(_token(rng, environment))}}}'
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        fields[rng.choice(_FIELDS)] = _value(rng)
    if rng.random() < 0.1:
        del fields[rng.choice(list(fields))]
    members = [f"{_name(rng, name)}:{value}" for name, value in fields.items()]
    if rng.random() < 0.1:
        members.append(rng.choice(members))
    if rng.random() < 0.2:
        rng.shuffle(members)
    space = rng.choice(_SPACES) if rng.random() < 0.1 else ""
    return space + "{" + f",{space}".join(members) + "}" + space


def _rooms(rng: random.Random, environment: Environment) -> str:
    """The list of a join, in which some entries are none."""
    entries = [
        _value(rng)
        if rng.random() < 0.1
        else f'{{"room":{_quoted(_room(rng, environment))},"since":{rng.choice(("null", "1", _NESTED[-5]))}}}'
        for _ in range(rng.choice((0, 1, 3, 20, 100, 101, 600)))
    ]
    return f"[{','.join(entries)}]"


def _room(rng: random.Random, environment: Environment) -> str:
    chance = rng.random()
    if chance < 0.4:
        return SHARED_ROOM
    if chance < 0.7:
        return f"fuzz.{rng.randrange(300)}"
    return environment.forbidden_room if chance < 0.75 else rng.choice(_ROOMS)


def _token(rng: random.Random, environment: Environment) -> str:
    own = environment.token
    at = rng.randrange(len(own))
    changed = own[:at] + rng.choice("Aa0_.-") + own[at + 1 :]
    return rng.choice((own, own, environment.foreign_token, changed, own[:at], own + own, "", ".", "..", "x" * 5000))


def _name(rng: random.Random, name: str) -> str:
    """The name of a member in JSON, sometimes written with escapes, which is the same name."""
    if rng.random() < 0.05:
        at = rng.randrange(len(name))
        name = f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
    return f'"{name}"'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(rng: random.Random, depth: int = 0) -> str:
    chance = rng.random()
    if chance < 0.02:
        return _deep(rng)
    if chance < 0.03:
        return _quoted(rng.choice("aé\u2028😀") * rng.choice((63, 64, 65, 127, 128, 129, 5000, 30_000)))
    if chance < 0.08:
        return rng.choice(_NOT_JSON)
    if chance < 0.25 and depth < 4:
        return "[" + ",".join(_value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    if chance < 0.4 and depth < 4:
        return "{" + ",".join(f'"k{n}":{_value(rng, depth + 1)}' for n in range(rng.randrange(4))) + "}"
    return rng.choice(rng.choice((_SCALARS, _STRINGS, _STRINGS, _NESTED)))


def _deep(rng: random.Random) -> str:
    levels = rng.choice((10, 100, 500, 509, 510, 511, 512, 513, 900, 1000, 1100, 5000, 20_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ("[", ""), ('{"a":', "")))
    return opening * levels + rng.choice(("", "1", '"["')) + closing * levels


def _repetitive(rng: random.Random) -> str:
    """Nearly as much of one token as a message may hold, with or without brackets around it."""
    piece = rng.choice(_TIRING)
    start = rng.choice(("", '"', "[" * 600, "[" * 600 + '"', '{"a":' * 600 + '"'))
    return start + piece * (rng.choice((20_000, 60_000, 60_000)) // len(piece)) + rng.choice(("", '"', "]" * 600))


def _mutilated(rng: random.Random, text: str) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        until = min(len(text), at + rng.choice((1, 1, 2, 8, 50)))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[until:]
            case 1:
                text = text[:at] + rng.choice(_CHARACTERS) + text[at:]
            case 2:
                text = text[:at] + rng.choice(_CHARACTERS) + text[until:]
            case 3:
                text = text[:until] + text[at:]
            case _:
                text = text[:at]
    return text


def _flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"{}")
    for _ in range(rng.choice((1, 1, 3))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)
