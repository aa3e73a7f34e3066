"""A pod whose issuer publishes no usable key says so, and one that had good keys goes on with them."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from tests.support.exposition import scrape
from tests.support.gateway import PATIENCE, SECRET, Client, Gateway, gateway
from tests.support.jwks import Endpoint, ec_signer, endpoint, rsa_signer

CLAIMS = {"sub": "ada", "exp": time.time() + 3600, "aud": "us"}
BAD = [{"kty": "oct", "k": "c2VjcmV0"}, rsa_signer("small", 1024).jwk(kid="small"), rsa_signer().jwk(use="enc")]
OTHER = rsa_signer().jwk(kid="other", alg="PS512")
"""A good key, for an algorithm that is not accepted."""
UNUSABLE = pytest.mark.parametrize("published", [[], BAD, [OTHER]], ids=["empty", "unusable", "other algorithm"])


def of(issuer: Endpoint, **more: object) -> dict[str, object]:
    """The settings of a pod that has no key but those of `issuer`."""
    return {"jwks_url": issuer.url, "jwt_audience": ["us"]} | more


def good() -> str:
    return ec_signer().token(CLAIMS, kid="k")


async def failing(pod: Gateway) -> tuple[int, list[str]]:
    """The status of `/readyz` and its failing checks."""
    status, body = await pod.probe("/readyz")
    return status, body["failing"]


async def until_ready(pod: Gateway) -> None:
    async with asyncio.timeout(PATIENCE):
        while await failing(pod) != (200, []):
            await asyncio.sleep(0.02)


@UNUSABLE
async def test_a_pod_without_a_usable_key_is_not_ready_and_says_why(published: list[object]) -> None:
    """Before any handshake: the probe, an error in the log, and the metric. It recovers by itself."""
    async with endpoint() as issuer:
        issuer.publish(*published)
        with capture_logs() as lines:
            async with gateway(**of(issuer)) as pod:
                async with asyncio.timeout(PATIENCE):
                    while "no answer yet" in (body := (await pod.probe("/readyz"))[1])["checks"]["keys"]["reason"]:
                        await asyncio.sleep(0.01)
                assert (body["failing"], body["state"]) == (["keys"], "ready")
                assert "none of its" in body["checks"]["keys"]["reason"]
                assert (await pod.probe("/startupz"))[0] == (await pod.probe("/livez"))[0] == 200
                scraped = await scrape(pod.internal_port)
                assert scraped["forestay_jwks_usable_keys"] == 0
                assert scraped['forestay_ready{reason="keys"}'] == 1
                assert (await Client.open_or_refused(pod.port, good())).status == 503
                issuer.publish(*published, ec_signer().jwk(kid="k"))
                await until_ready(pod)
                client = await Client.open(pod.port, good())
                await client.hear("welcome")
                assert (await scrape(pod.internal_port))["forestay_jwks_usable_keys"] == 1
    told = [line for line in lines if line["event"] == "token keys not fetched"]
    assert {line["log_level"] for line in told} == {"error"}
    assert told[0]["effect"] == "no token of the issuer can be verified"


@UNUSABLE
async def test_a_set_that_goes_bad_leaves_the_last_good_keys(published: list[object]) -> None:
    """On all pods at once: they stay ready, connections live on, and tokens of the last keys are accepted."""
    async with endpoint() as issuer:
        issuer.publish(ec_signer().jwk(kid="k"))
        async with gateway(**of(issuer)) as one, gateway(**of(issuer)) as two:
            clients = []
            for pod in (one, two):
                await until_ready(pod)
                clients.append(await Client.open(pod.port, good()))
                await clients[-1].hear("welcome")
            issuer.publish(*published)
            with capture_logs() as lines:
                for pod in (one, two):
                    # Its time has come.
                    keys = pod.running._keys._published
                    assert keys is not None
                    await keys._fetch()
            told = [line for line in lines if line["event"] == "token keys not fetched"]
            assert [line["log_level"] for line in told] == ["warning"] * 2
            assert "stay in use" in told[0]["effect"]
            for pod, client in zip((one, two), clients, strict=True):
                assert await failing(pod) == (200, [])
                assert (await scrape(pod.internal_port))["forestay_jwks_usable_keys"] == 1
                assert await client.silent()
                newcomer = await Client.open(pod.port, good())
                await newcomer.hear("welcome")


async def test_a_pod_with_a_key_of_its_own_is_ready_without_the_issuer() -> None:
    """It admits those tokens. The metric says that the issuer's are refused."""
    async with endpoint() as issuer:
        issuer.say("", status=500)
        async with gateway(**of(issuer, jwt_secret=SECRET)) as pod:
            client = await pod.connect("ada", aud="us")
            assert (await pod.probe("/readyz"))[0] == 200
            assert (await scrape(pod.internal_port))["forestay_jwks_usable_keys"] == 0
            assert await client.silent()


async def test_without_a_key_set_there_is_no_such_metric() -> None:
    """Its alert would fire for ever."""
    async with gateway() as pod:
        names = (await scrape(pod.internal_port)).names
        assert [name for name in names if name.startswith("forestay_jwks")] == []
        assert (await pod.probe("/readyz"))[0] == 200
