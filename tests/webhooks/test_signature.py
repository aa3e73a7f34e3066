"""Requests have the form of Standard Webhooks, so that its public library verifies them."""

import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from forestay.outbound.receiver import check_address
from forestay.outbound.signature import parse_secret, signed_headers
from tests.support.webhook_receiver import SECRET

OTHER = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
BODY = json.dumps({"type": "message", "data": {"payload": "é"}}, ensure_ascii=False).encode()


def test_the_public_library_verifies_a_request() -> None:
    """The body comes back; with another body, another id or an old time it does not."""
    now = int(time.time())
    headers = dict(signed_headers([parse_secret(SECRET)], "evt_1", now, BODY))
    assert Webhook(SECRET).verify(BODY, headers) == json.loads(BODY)
    old = dict(signed_headers([parse_secret(SECRET)], "evt_1", now - 600, BODY))
    wrong = [
        (BODY + b" ", headers),
        (BODY, headers | {"webhook-id": "evt_2"}),
        (BODY, headers | {"webhook-timestamp": str(now + 1)}),
        (BODY, old),
    ]
    for body, given in wrong:
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, given)


def test_a_request_is_signed_by_the_current_and_the_previous_key() -> None:
    """A receiver that knows either of them verifies it."""
    headers = dict(signed_headers([parse_secret(SECRET), parse_secret(OTHER)], "evt_1", int(time.time()), BODY))
    assert Webhook(SECRET).verify(BODY, headers) == Webhook(OTHER).verify(BODY, headers)


@pytest.mark.parametrize("prefix", ["whsec_", ""])
def test_a_secret_may_leave_its_prefix_out(prefix: str) -> None:
    """As the library takes it."""
    assert len(parse_secret(prefix + SECRET.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    "text", ["whsec_c2hvcnQ=", "not base64 at all, but long enough!", "whsec_" + "QUFB" * 30, "é" * 40]
)
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    """Too short, too long, or not base64: the error says how to make one."""
    with pytest.raises(ValueError, match="openssl rand -base64 32") as error:
        parse_secret(text)
    assert text not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "app.example/hooks",
        "ftp://app.example/hooks",
        "https://",
        "https://user:secret@app.example",
        "https://app.example:99999/",
        "https://app.example/#hooks",
        "https://app.example/a b",
        "https://[::1/",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    """The error says what to write."""
    with pytest.raises(ValueError, match="address") as error:
        check_address(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["http://orders.default.svc/hooks", "https://[::1]:8443/", "https://a.example/?key=1"])
def test_an_address_may_be_any_that_a_pod_reaches(url: str) -> None:
    """Inside the cluster, on the pod itself, or outside."""
    assert check_address(url) == url
