"""A handshake with a token that does not fit is told why, in the answer and in the log, and the token is in neither."""

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs

from tests.support.gateway import SECRET, Client, gateway, token, upgrade

RULES: dict[str, object] = {"jwt_audience": "web, mobile", "jwt_issuer": ["https://id.example/"]}
GOOD: dict[str, Any] = {"aud": "web", "iss": "https://id.example/"}


def other_algorithm() -> str:
    return jwt.encode({"sub": "ada", "exp": time.time() + 60}, SECRET * 2, "HS512")


WRONG: dict[str, tuple[Callable[[], str], list[str]]] = {
    "aud": (lambda: token(**(GOOD | {"aud": "shop"})), ['"shop"', '"web", "mobile"', "FORESTAY_JWT_AUDIENCE"]),
    "iss": (lambda: token(**(GOOD | {"iss": "https://id.example"})), ["FORESTAY_JWT_ISSUER", "slash at the end"]),
    "alg": (other_algorithm, ['"HS512"', "FORESTAY_JWT_ALGORITHMS accepts HS256"]),
    "exp": (
        lambda: token(**(GOOD | {"exp": 1_700_000_000})),
        ["2023-11-14T22:13:20+00:00", "the gateway's clock says"],
    ),
    "length": (lambda: token(**GOOD, x="y" * 2000), ["FORESTAY_MAX_TOKEN_BYTES"]),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_the_answer_and_the_log_say_what_was_seen_and_which_setting_decides(wrong: str) -> None:
    """A developer who sees only the answer, and an operator who sees only the log, can repair it."""
    make, words = WRONG[wrong]
    bearer = make()
    async with gateway(**RULES, max_token_bytes=1024) as running:
        with capture_logs() as logged:
            refused = await Client.request(running.port, upgrade(bearer))
        problem = json.loads(refused.body)
        assert (refused.status, problem["code"]) == (401, "bad_token")
        [line] = [line for line in logged if line["event"] == "handshakes refused"]
        for word in words:
            assert word in problem["detail"]
            assert word in repr(line).replace("\\'", "'")
        for part in bearer.split("."):
            assert part not in refused.body.decode()
            assert part not in repr(logged)
        good = await Client.open(running.port, token(**GOOD))
        await good.hear("welcome")


async def test_a_renewal_is_told_why_too() -> None:
    """The error of `auth` has the same sentence, and the connection stays as it is."""
    async with gateway(**RULES) as running:
        client = await running.connect(**GOOD)
        refused = await client.ask(
            {"type": "auth", "id": "1", "payload": {"token": token(aud="shop", iss=GOOD["iss"])}}
        )
        assert refused["payload"]["code"] == "bad_token"
        assert 'aud is "shop", and FORESTAY_JWT_AUDIENCE expects "web", "mobile"' in refused["payload"]["message"]
        assert await client.silent()
