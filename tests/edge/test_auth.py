"""The verifier turns a token into an identity, or refuses it."""

import asyncio
import json
import math
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from forestay.core.rules.access import Identity, Right
from forestay.edge.tokens.claims import STANDARD, ClaimNames, read_claims
from forestay.edge.tokens.keys import Keys
from forestay.edge.tokens.validity import LATEST, LEEWAY
from forestay.edge.tokens.verifier import MAX_BYTES, NOT_OURS, TokenRules, TokenVerifier, parse_rooms
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName
from tests.support.jwks import LONG_SECRET, SECRET, ec_signer, ed_signer, forged, keys, rsa_signer

NOW = 1_800_000_000.0
OTHER = "tokens of another algorithm refused"
HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "ada", "exp": NOW + 60}
LOBBY = RoomName("chat.lobby")


def verifier(
    *,
    known: Keys | None = None,
    audience: str | None = None,
    issuer: str | None = None,
    rights: str = "**:rwph",
    names: ClaimNames = STANDARD,
) -> TokenVerifier:
    audiences, issuers = ([] if each is None else [each] for each in (audience, issuer))
    rules = TokenRules(rights, audiences=audiences, issuers=issuers, names=names)
    return TokenVerifier(known or keys(secret=SECRET), rules, clock=lambda: NOW)


def at_once(verifying: Coroutine[Any, Any, Identity]) -> Identity:
    """The outcome of a coroutine that may not suspend."""

    async def one_step() -> Identity:
        try:
            verifying.send(None)
        except StopIteration as done:
            identity: Identity = done.value
            return identity
        raise AssertionError("it waits for something")

    return asyncio.run(one_step())


def accepted(token: str, by: TokenVerifier | None = None) -> Identity:
    return at_once((by or verifier()).verify(token))


def refused(token: str, by: TokenVerifier | None = None) -> str:
    """The message with which `token` is a bad one."""
    with pytest.raises(Refusal) as caught:
        accepted(token, by)
    assert caught.value.code is ErrorCode.BAD_TOKEN
    return caught.value.message


def token(header: object = HEADER, **claims: object) -> str:
    """A well signed token with some claims added or replaced; `...` takes one away."""
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not ...}
    return forged(header, merged)


def test_a_good_token_becomes_an_identity() -> None:
    """The identity has what the core needs. With a configured key the verifier does not wait."""
    identity = accepted(token(jti="t1", iat=NOW - 5, rooms={"chat.*": "rw"}))
    assert (identity.user, identity.expires_at) == ("ada", NOW + 60)
    assert (identity.token_id, identity.issued_at) == ("t1", NOW - 5)
    assert identity.rights.of(LOBBY) == Right.JOIN | Right.BROADCAST
    assert not identity.rights.of(RoomName("news"))


def test_missing_claims_are_none_in_the_identity() -> None:
    """Without `jti` and `iat` the identity has none. Unknown claims change nothing."""
    identity = accepted(token(admin=True, nested={"a": [1, None, {"b": 1.5}]}))
    assert (identity.token_id, identity.issued_at) == (None, None)


def test_identities_share_no_memory() -> None:
    """Two tokens with the same rights have separate objects, so one user cannot fill another's memory."""
    assert accepted(token()).rights is not accepted(token()).rights


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_verifies_each_configured_hmac(algorithm: str) -> None:
    """HS256, HS384 and HS512 are accepted where they are configured."""
    digest = f"sha{algorithm[2:]}"
    by = verifier(known=keys(secret=LONG_SECRET, algorithms=[algorithm]))
    assert accepted(forged({"alg": algorithm}, CLAIMS, LONG_SECRET, digest=digest), by).user == "ada"


@pytest.mark.parametrize("signer", [rsa_signer(), ec_signer(), ed_signer()], ids=lambda each: each.algorithm)
def test_a_public_key_verifies_the_signatures_of_its_owner(signer: Any) -> None:
    """RSA, P-256 and Ed25519 keys accept their own signatures at once, and refuse those of another key."""
    by = verifier(known=keys(public_key=signer.pem))
    assert accepted(signer.token(CLAIMS), by).user == "ada"
    other = {"RS256": rsa_signer, "ES256": ec_signer, "EdDSA": ed_signer}[signer.algorithm]("other")
    assert refused(other.token(CLAIMS), by) == NOT_OURS


# Headers that are refused although the signature is right, and how the error message begins.
HEADERS: dict[str, tuple[object, str]] = {
    "alg none": ({"alg": "none"}, "algorithm not allowed"),
    "alg None": ({"alg": "None"}, "algorithm not allowed"),
    "alg nOnE": ({"alg": "nOnE"}, "algorithm not allowed"),
    "alg empty": ({"alg": ""}, "algorithm not allowed"),
    "alg in another case": ({"alg": "hs256"}, "algorithm not allowed"),
    "alg not configured": ({"alg": "HS384"}, "algorithm not allowed"),
    "alg of another family": ({"alg": "RS256"}, "algorithm not allowed"),
    "alg unknown": ({"alg": "HS1"}, "algorithm not allowed"),
    "alg missing": ({"typ": "JWT"}, "not a signed JWT"),
    "alg null": ({"alg": None}, "not a signed JWT"),
    "alg a list": ({"alg": ["HS256"]}, "not a signed JWT"),
    "alg a number": ({"alg": 256}, "not a signed JWT"),
    "kid a number": (HEADER | {"kid": 1}, "not a signed JWT"),
    "kid a list": (HEADER | {"kid": ["a"]}, "not a signed JWT"),
    "kid an object": (HEADER | {"kid": {"a": 1}}, "not a signed JWT"),
    "kid huge": (HEADER | {"kid": "k" * 257}, "not a signed JWT"),
    "crit unknown": (HEADER | {"crit": ["exp"], "exp": 1}, "the token's header demands"),
    "crit known to others": (HEADER | {"crit": ["b64"], "b64": True}, "the token's header demands"),
    "crit empty": (HEADER | {"crit": []}, "the token's header demands"),
    "crit null": (HEADER | {"crit": None}, "the token's header demands"),
    "b64 false": (HEADER | {"b64": False}, "the token's header demands"),
    "b64 false and critical": (HEADER | {"b64": False, "crit": ["b64"]}, "the token's header demands"),
    "b64 no boolean": (HEADER | {"b64": 0}, "not a signed JWT"),
    "no object": ([HEADER], "not a signed JWT"),
    "no JSON": (b"{", "not a signed JWT"),
    "no UTF-8": (b'{"alg":"HS256","kid":"\xff"}', "not a signed JWT"),
    "not a number": (b'{"alg":"HS256","x":NaN}', "not a signed JWT"),
    "too deep": (b'{"alg":"HS256","x":' + b"[" * 4000 + b"]" * 4000 + b"}", "token too long"),
    "deep": (b'{"alg":"HS256","x":' + b"[" * 1300 + b"]" * 1300 + b"}", "not a signed JWT: its header nests deeper"),
    "one level too deep": (b'{"alg":"HS256","x":' + b"[" * 64 + b"]" * 64 + b"}", "not a signed JWT: its header nests"),
    "empty": (b"", "not a signed JWT"),
}


@pytest.mark.parametrize(("header", "message"), HEADERS.values(), ids=HEADERS)
def test_a_header_cannot_change_how_the_token_is_verified(header: object, message: str) -> None:
    """The token's header chooses no algorithm and switches no check off, also where the signature is right."""
    assert refused(token(header)).startswith(message)


@pytest.mark.parametrize("kid", ["../../../../dev/null", "' OR 1=1 --", "\0", "schlüssel-🗝", "k" * 256, "", None])
def test_a_configured_key_ignores_the_key_id(kid: str | None) -> None:
    """A `kid` names a published key. With a configured key it is not used, and never opened or run."""
    assert accepted(token(HEADER | {"kid": kid})).user == "ada"


@pytest.mark.parametrize("name", ["jku", "x5u", "x5c", "jwk"])
def test_a_key_inside_a_token_is_ignored(name: str) -> None:
    """A token signed with a key from its own header is refused, in each field that can hold a key."""
    own = rsa_signer("theirs")
    brought = {"jku": "https://127.0.0.1:9/keys", "x5u": "https://127.0.0.1:9/x5", "x5c": [own.pem], "jwk": own.jwk()}
    by = verifier(known=keys(public_key=rsa_signer().pem))
    assert refused(own.token(CLAIMS, **{name: brought[name]}), by) == NOT_OURS
    assert accepted(rsa_signer().token(CLAIMS, **{name: brought[name]}), by).user == "ada"


# Strings that are no signed token at all.
SHAPES = {
    "nothing": "",
    "a space": " ",
    "dots": "..",
    "one part": "e30",
    "two parts": "e30.e30",
    "four parts": f"{token()}.e30",
    "encrypted": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn",
    "not base64": f"!!!{token()}",
    "a line break": f"{token()}\n",
    "a scheme in front": f"Bearer {token()}",
    "no ASCII": f"{token()}é",
    "half a surrogate pair": f"{token()}\ud800",
    "a NUL": f"\0{token()}",
    "detached": ".".join((token().split(".")[0], "", token().split(".")[2])),
    "an empty signature": token().rpartition(".")[0] + ".",
    "an empty signature, none": token({"alg": "none"}).rpartition(".")[0] + ".",
    "a cut signature": token()[:-4],
    "another one's signature": token()[:-10] + "A" * 10,
    "another spelling of the signature": token()[:-1] + chr(ord(token()[-1]) + 1),
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_only_the_exact_form_of_a_signed_token_is_accepted(text: str) -> None:
    """Other forms of a token and other spellings of a good one are refused."""
    refused(text)


def test_a_token_inside_a_token_is_refused() -> None:
    """The claims must be an object, and a nested JWT is text."""
    assert refused(forged(HEADER | {"cty": "JWT"}, token().encode())) == "the token's claims are not a JSON object"


def test_a_token_has_at_most_8192_bytes() -> None:
    """8,192 bytes are read. A longer token is refused before any work is done."""
    padding = next(n for n in range(MAX_BYTES) if len(token(x="x" * n)) >= MAX_BYTES - 3)
    longest = max((token(x="x" * n) for n in range(padding, padding + 8)), key=lambda t: (len(t) <= MAX_BYTES, len(t)))
    assert MAX_BYTES - 2 <= len(longest) <= MAX_BYTES
    assert accepted(longest).user == "ada"
    assert refused(token(x="x" * (padding + 8))).startswith("token too long")
    assert refused("." * (MAX_BYTES + 1)).startswith("token too long")


def deep(levels: int) -> bytes:
    """Claims of which one nests, so that all of it has `levels` levels."""
    return b'{"sub":"ada","exp":1800000060,"x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


HUGE = int("9" * 2500)

# Claims by what is wrong with them, and how the error message begins.
BAD_CLAIMS: dict[str, tuple[dict[str, object], str]] = {
    "no sub": ({"sub": ...}, "missing claim: sub"),
    "no exp": ({"exp": ...}, "missing claim: exp"),
    **{
        f"sub {name}": ({"sub": value}, "malformed claim: sub")
        for name, value in {
            "null": None,
            "a list": ["ada"],
            "an object": {"a": 1},
            "a number": 7,
            "a boolean": True,
            "empty": "",
            "too long": "a" * 257,
            "with a line break": "a\nb",
            "with a NUL": "a\0",
            "with a DEL": "a\x7f",
            "with a C1 control": "a\x85",
        }.items()
    },
    **{
        f"{claim} {name}": ({claim: value}, f"malformed claim: {claim}")
        for claim in ("exp", "nbf", "iat")
        for name, value in {
            "a string": "9999999999",
            "true": True,
            "null": None,
            "a list": [NOW + 60],
            "an object": {},
            "huge": HUGE,
        }.items()
    },
    "exp past": ({"exp": NOW - 1}, "token expired"),
    "exp now": ({"exp": NOW}, "token expired"),
    "exp a moment ago": ({"exp": NOW - 0.001}, "token expired"),
    "exp negative": ({"exp": -1}, "token expired"),
    "exp in milliseconds": (
        {"exp": (NOW + 60) * 1000},
        "malformed claim: exp is 1800000060000, after the year 9999; it counts seconds, not milliseconds",
    ),
    "exp in milliseconds, and past": ({"exp": (NOW - 60) * 1000}, "malformed claim: exp is 1799999940000, after"),
    "exp after the year 9999": ({"exp": LATEST + 1}, "malformed claim: exp is 253402300800, after"),
    "exp beyond any number of digits": ({"exp": 1e300}, "malformed claim: exp is 1e+300, after"),
    "nbf in milliseconds": ({"nbf": (NOW - 60) * 1000}, "malformed claim: nbf is 1799999940000, after"),
    "iat in nanoseconds": ({"iat": (NOW - 60) * 10**9}, "malformed claim: iat is 1.79999994e+18, after"),
    "nbf ahead": ({"nbf": NOW + LEEWAY + 1}, "token not valid yet"),
    "iat ahead": ({"iat": NOW + LEEWAY + 1}, "token not valid yet"),
    "jti null": ({"jti": None}, "malformed claim: jti"),
    "jti a number": ({"jti": 7}, "malformed claim: jti"),
    "aud a number": ({"aud": 7}, "malformed claim: aud"),
    "aud mixed": ({"aud": ["a", 7]}, "malformed claim: aud"),
    "iss a list": ({"iss": ["a"]}, "malformed claim: iss"),
    "rooms a list": (
        {"rooms": ["chat.*"]},
        'malformed claim: rooms has the wrong type or is out of range; it maps patterns of rooms to letters, as {"chat',
    ),
    **{
        f"rooms {name}": ({"rooms": value}, "malformed claim: rooms")
        for name, value in {
            "null": None,
            "a string": "chat.*:rw",
            "with a list": {"chat.*": ["r", "w"]},
            "with null": {"chat.*": None},
            "with an unknown letter": {"chat.*": "rx"},
            "with a capital letter": {"chat.*": "R"},
            "with a bad pattern": {"chat*": "r"},
            "with an early double star": {"**.chat": "r"},
            "with an empty pattern": {"": "r"},
            "with a personal room": {"@bob": "r"},
            "with no ASCII": {"châtaigne": "r"},
            "with a long pattern": {"a" * 129: "r"},
            "with one bad of two": {"chat.*": "r", "a b": "r"},
            "of 101 patterns": {f"r{n}": "r" for n in range(101)},
        }.items()
    },
}


@pytest.mark.parametrize(("claims", "message"), BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_claims_that_are_missing_malformed_or_out_of_time_are_refused(claims: dict[str, object], message: str) -> None:
    """No claim is converted or guessed: a wrong one makes the token bad."""
    assert refused(token(**claims)).startswith(message)


RAW = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a string": b'"ada"',
    "cut": b'{"sub":"ada","exp":1800000060',
    "more behind": b'{"sub":"ada","exp":1800000060} {}',
    "no UTF-8": b'{"sub":"a\xff","exp":1800000060}',
    "a surrogate": b'{"sub":"a\\ud800","exp":1800000060}',
    "exp NaN": b'{"sub":"ada","exp":NaN}',
    "exp infinite": b'{"sub":"ada","exp":Infinity}',
    "exp 1e400": b'{"sub":"ada","exp":1e400}',
    "nbf -1e400": b'{"sub":"ada","exp":1800000060,"nbf":-1e400}',
    "elsewhere NaN": b'{"sub":"ada","exp":1800000060,"x":NaN}',
    "deep": deep(1300),
    "deep where a string belongs": deep(1300).replace(b'"x"', b'"jti"'),
    "one level too deep": deep(65),
    "one level too deep in info": deep(65).replace(b'"x":[', b'"info":{"x":').replace(b"]}", b"}}"),
    "another UTF": '{"sub":"ada","exp":1800000060}'.encode("utf-16"),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_claims_that_are_not_valid_json_are_refused(raw: bytes) -> None:
    """Signed claims of any bytes give a bad token and not an internal error."""
    refused(forged(HEADER, raw))


def test_a_token_may_nest_to_the_limit() -> None:
    """A header and claims of 64 levels are read."""
    header = b'{"alg":"HS256","x":' + b"[" * 63 + b"]" * 63 + b"}"
    assert accepted(forged(header, deep(64))).user == "ada"


CANARY = "canary-in-the-mine"
OURS = {"aud": "us", "iss": "us"}


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f"{CANARY}.{CANARY}.{CANARY}",
        token({CANARY: CANARY}),
        token(HEADER | {"kid": [CANARY]}),
        token(HEADER | {"crit": [CANARY]}),
        token(sub=[CANARY], **OURS),
        token(sub=f"{CANARY}\n", **OURS),
        token(exp=CANARY, **OURS),
        token(jti={CANARY: CANARY}, **OURS),
        token(rooms={CANARY: CANARY}, **OURS),
        token(rooms={f"{CANARY} ": "r"}, **OURS),
        token(rooms={CANARY: [CANARY]}, **OURS),
        forged(HEADER, CANARY.encode()),
    ],
)
def test_a_refusal_contains_no_part_of_the_token(text: str) -> None:
    """A log line with the refusal and its traceback shows nothing of the token."""
    with pytest.raises(Refusal) as caught:
        accepted(text, verifier(audience="us", issuer="us"))
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert CANARY not in shown.replace("CANARY", "")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW + 0.001},
        {"exp": LATEST},
        {"nbf": NOW + LEEWAY, "iat": NOW + LEEWAY},
        {"nbf": 0, "iat": -1.5},
        {"sub": "a" * 256},
        {"sub": "ада 🗝 \u2028"},
        {"sub": "../@me:{}"},
        {"aud": "anything"},
        {"aud": ["any", "thing"], "iss": "anybody"},
        {"jti": ""},
        {"rooms": {}},
        {"rooms": {f"r{n}": "" for n in range(100)}},
        {"rooms": {"@me": "rw", "**": "rwph", "a:b.*": "rrr"}},
    ],
    ids=str,
)
def test_claims_at_the_limits_are_accepted(claims: dict[str, object]) -> None:
    """The largest and smallest allowed values are accepted."""
    assert accepted(token(**claims)).expires_at > NOW


def test_a_token_without_rooms_has_the_default_rights() -> None:
    """The claim `rooms` replaces the default rights, also where it is empty."""
    by = verifier(rights="chat.*:r, chat.secret:")
    assert accepted(token(), by).rights.of(LOBBY) == Right.JOIN
    assert not accepted(token(), by).rights.of(RoomName("chat.secret"))
    assert not accepted(token(rooms={}), by).rights.of(LOBBY)
    assert accepted(token(rooms={"chat.*": "w"}), by).rights.of(LOBBY) == Right.BROADCAST


PURPOSES: dict[str, tuple[dict[str, object], str]] = {
    "aud missing": ({"aud": ..., "iss": "abc"}, "missing claim: aud"),
    "aud another": ({"aud": "elsewhere", "iss": "abc"}, "audience does not match"),
    "aud a part": ({"aud": "fore", "iss": "abc"}, "audience does not match"),
    "aud longer": ({"aud": "forestay2", "iss": "abc"}, "audience does not match"),
    "aud in another case": ({"aud": "Forestay", "iss": "abc"}, "audience does not match"),
    "aud empty": ({"aud": "", "iss": "abc"}, "audience does not match"),
    "aud empty list": ({"aud": [], "iss": "abc"}, "audience does not match"),
    "aud list without": ({"aud": ["a", "forestay2"], "iss": "abc"}, "audience does not match"),
    "iss missing": ({"aud": "forestay"}, "missing claim: iss"),
    "iss a part": ({"aud": "forestay", "iss": "a"}, "issuer does not match"),
    "iss longer": ({"aud": "forestay", "iss": "abcd"}, "issuer does not match"),
    "iss with a slash": ({"aud": "forestay", "iss": "abc/"}, "issuer does not match"),
    "iss empty": ({"aud": "forestay", "iss": ""}, "issuer does not match"),
}


@pytest.mark.parametrize(("claims", "message"), PURPOSES.values(), ids=PURPOSES)
def test_a_token_for_another_audience_or_issuer_is_refused(claims: dict[str, object], message: str) -> None:
    """A configured audience and issuer must be in the token, complete."""
    assert refused(token(**claims), verifier(audience="forestay", issuer="abc")).startswith(message)


@pytest.mark.parametrize("aud", ["forestay", ["forestay"], ["other", "forestay"]], ids=str)
def test_a_token_for_our_audience_is_accepted(aud: object) -> None:
    """Our audience may be one of several."""
    assert accepted(token(aud=aud, iss="abc"), verifier(audience="forestay", issuer="abc")).user == "ada"


@pytest.mark.parametrize(("audience", "issuer"), [("", None), (None, "")])
def test_an_empty_audience_or_issuer_is_an_error(audience: str | None, issuer: str | None) -> None:
    """It would look like a check and check nothing."""
    with pytest.raises(ValueError, match="leave it out"):
        verifier(audience=audience, issuer=issuer)


@pytest.mark.parametrize("text", ["chat.*:rw,news.*:r", " chat.*:rw\n  news.*:r ", "chat.*:rw , news.*:r"])
def test_rights_are_written_by_pattern(text: str) -> None:
    """Rules are separated by spaces or commas."""
    assert parse_rooms(text) == {"chat.*": "rw", "news.*": "r"}


def test_the_last_colon_ends_the_pattern() -> None:
    """A room's name may contain colons. A rule without letters gives no rights."""
    assert parse_rooms("a:b:r secret.**:") == {"a:b": "r", "secret.**": ""}


@pytest.mark.parametrize("text", ["chat.*", "chat.*:x", ":rw", "cha*:r", "@bob:r", "a:r a:w", "**=rw"])
def test_malformed_default_rights_are_an_error_of_the_settings(text: str) -> None:
    """They are checked when the verifier is made, before the first token arrives."""
    with pytest.raises(ValueError, match=r"."):
        verifier(rights=text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CLAIM = st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "jti", "rooms", "x"])


def outcome(text: str) -> Identity | None:
    """The identity, or None for a bad token; any other end of this is the failure that we look for."""
    try:
        return accepted(text)
    except Refusal as refusal:
        answer = refusal
    assert answer.code is ErrorCode.BAD_TOKEN
    assert len(answer.message) < 500
    assert answer.message.isprintable()
    return None


@given(st.text() | st.text(alphabet="eyJ.-_=09AZ", max_size=100))
def test_any_text_is_a_bad_token(text: str) -> None:
    """Text without a signature is refused and raises nothing else."""
    assert outcome(text) is None


@given(JSON, st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "jwk", "x"]), JSON))
def test_any_header_is_accepted_or_refused(value: Any, header: dict[str, Any]) -> None:
    """For any header of a signed token the result is an identity or a bad token."""
    outcome(forged(value, CLAIMS))
    outcome(forged(HEADER | header, CLAIMS))


@given(JSON, st.dictionaries(CLAIM, JSON))
@example(value=math.nan, claims={"exp": math.inf})
@example(value={}, claims={"rooms": {"**": "r", "@me": "\ud800"}})
def test_any_claims_are_accepted_or_refused(value: Any, claims: dict[str, Any]) -> None:
    """For any signed claims the result is a valid identity or a bad token."""
    outcome(forged(HEADER, value))
    identity = outcome(forged(HEADER, CLAIMS | claims))
    if identity is not None:
        assert 0 < len(identity.user) <= 256
        assert NOW < identity.expires_at < math.inf
        json.dumps([identity.user, identity.token_id]).encode()
        identity.user.encode()


@given(st.binary(max_size=200), st.integers(0, 2))
def test_any_bytes_are_accepted_or_refused(raw: bytes, place: int) -> None:
    """For any bytes in a part of a token the result is an identity or a bad token."""
    parts = token().split(".")
    parts[place] = urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert outcome(".".join(parts)) is None
    outcome(forged(HEADER, raw))


@given(st.integers(0, len(token()) - 1), st.characters(codec="ascii"))
def test_no_changed_token_is_accepted(at: int, character: str) -> None:
    """A good token with one character replaced is a bad token."""
    good = token()
    if good[at] != character:
        assert outcome(good[:at] + character + good[at + 1 :]) is None


def test_the_settings_decide_how_long_a_token_may_be() -> None:
    """The refusal names the length, the limit and the setting, and a higher limit lets the token through."""
    longer = token(x="x" * 9000)
    message = refused(longer)
    assert f"{len(longer)} bytes, more than 8192" in message
    assert "FORESTAY_MAX_TOKEN_BYTES" in message
    by = TokenVerifier(keys(secret=SECRET), TokenRules("**:r", max_bytes=65536), clock=lambda: NOW)
    assert accepted(longer, by).user == "ada"


SEEN: dict[str, tuple[str, list[str]]] = {
    "alg": (token({"alg": "HS512"}), ['alg is "HS512"', "FORESTAY_JWT_ALGORITHMS accepts HS256"]),
    "alg of strangers": (token({"alg": "x\n\u202e" + "y" * 300}), ['"x\\n\\u202eyyy', "FORESTAY_JWT_ALGORITHMS"]),
    "iss": (token(iss="https://a.example", aud="us"), ['iss is "https://a.example"', 'JWT_ISSUER expects "us", "us/"']),
    "iss missing": (token(aud="us"), ["missing claim: iss", 'FORESTAY_JWT_ISSUER expects "us"']),
    "iss without its slash": (token(aud="us", iss="us//"), ["they differ in the slash at the end"]),
    "aud": (token(iss="us", aud=["a", "b"]), ['aud is "a", "b"', 'FORESTAY_JWT_AUDIENCE expects "us"']),
    "many aud": (token(iss="us", aud=[f"a{n}" for n in range(50)]), ['"a4", and 45 more']),
    "aud missing": (token(iss="us"), ["missing claim: aud", "FORESTAY_JWT_AUDIENCE_CLAIM"]),
    "aud of strangers": (token(iss="us", aud="a\n\x1b[31m" + "b" * 500), ['"a\\n\\u001b[31mbbb']),
    "exp": (token(exp=NOW - 60), ["exp is 2027-01-15T07:59:00+00:00", "clock says 2027-01-15T08:00:00+00:00"]),
    "exp long ago": (token(exp=-1e300), ["exp is -1e+300"]),
    "nbf": (token(nbf=NOW + 60), ["nbf is 2027-01-15T08:01:00+00:00", "clock says 2027-01-15T08:00:00+00:00"]),
}


@pytest.mark.parametrize(("text", "words"), SEEN.values(), ids=SEEN)
def test_a_refusal_says_what_was_seen_what_is_expected_and_which_setting_decides(text: str, words: list[str]) -> None:
    """What it repeats of the token is quoted and cut, and fits into one line."""
    rules = TokenRules("**:r", audiences=["us"], issuers=["us", "us/"])
    message = refused(text, TokenVerifier(keys(secret=SECRET), rules, clock=lambda: NOW))
    for word in words:
        assert word in message
    assert message.isprintable()
    assert message.isascii() or "…" in message
    assert len(message) < 500


@pytest.mark.parametrize("name", ["aud", "iss"])
def test_a_token_of_one_of_several_audiences_and_issuers_is_accepted(name: str) -> None:
    """One of each is enough, and a part of one is not."""
    rules = TokenRules("**:r", audiences=["web", "mobile"], issuers=["https://a.example", "https://b.example"])
    by = TokenVerifier(keys(secret=SECRET), rules, clock=lambda: NOW)
    good = {"aud": ["else", "mobile"], "iss": "https://b.example"}
    assert accepted(token(**good), by).user == "ada"
    assert f"{name} is" in refused(token(**(good | {name: "mobil"})), by)


@given(st.dictionaries(CLAIM, JSON), st.dictionaries(CLAIM, st.sampled_from([NOW, NOW + 60, "ada", ["a"], {"a": "r"}])))
def test_an_unknown_claim_that_is_null_changes_nothing(any_claims: dict[str, Any], likely: dict[str, Any]) -> None:
    """The claims are read at once, or one by one where a null is among them. Both read the same and refuse the same."""
    claims = CLAIMS | any_claims | likely

    def outcome(more: dict[str, None]) -> object:
        try:
            return read_claims(json.dumps(claims | more).encode(), STANDARD)
        except Refusal as refusal:
            return refusal.message

    assert outcome({}) == outcome({"unknown": None})


def test_the_info_of_a_user_is_bounded() -> None:
    """1,024 bytes are kept, and a token with more is refused: each member of a room would cost that memory."""
    fits = {"x": "y" * (1024 - len('{"x":""}'))}
    assert len(accepted(token(info=fits)).info or b"") == 1024
    assert refused(token(info={"x": fits["x"] + "y"})) == "malformed claim: info has more than 1024 bytes"


async def test_an_algorithm_that_is_not_accepted_is_a_warning_with_what_to_do() -> None:
    """An issuer's library may have chosen it by the length of the key. The line comes once, with their number."""
    with capture_logs() as lines:
        by = verifier()
        for _ in range(3):
            with pytest.raises(Refusal):
                await by.verify(forged({"alg": "HS512"}, CLAIMS, digest="sha512"))
    told = [line for line in lines if line["event"] == OTHER]
    assert [(line["log_level"], line["HS512"]) for line in told] == [("warning", 1)]
    reason = told[0]["last HS512"]
    for said in ("signed with HS512", "FORESTAY_JWT_ALGORITHMS accepts HS256", "set it to HS512", "Jwts.SIG.HS256"):
        assert said in reason


async def test_an_algorithm_that_nobody_may_configure_is_no_warning() -> None:
    """It comes from an attacker, and no setting would help."""
    with capture_logs() as lines:
        for name in ("none", "HS1", "RSA-OAEP"):
            with pytest.raises(Refusal):
                await verifier().verify(forged({"alg": name}, CLAIMS))
    assert [line for line in lines if line["event"] == OTHER] == []
