"""Revoked tokens end the connections that use them and are refused, until the revocation runs out."""

import asyncio

import pytest

from forestay.core.cluster.revocations import RevocationVerifier
from forestay.core.ports.registry import Revocation
from forestay.core.rules.access import Identity, Rights
from forestay.protocol.codes import CloseCode, ErrorCode, Refusal
from tests.support.cluster import BORN, ClusterPod
from tests.support.virtual_time import virtual


def identity(user: str, token: str | None = None, issued: float | None = None) -> Identity:
    return Identity(user, Rights({}), BORN + 3600, token_id=token, issued_at=issued)


class Trusting:
    """A Verifier whose tokens are the ids of alice's tokens."""

    closed = False

    async def verify(self, token: str) -> Identity:
        return identity("alice", token)

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("who", "covered"),
    [
        (identity("alice", "t1"), True),
        (identity("alice", "t2"), False),
        (identity("alice"), False),
        (identity("bob", issued=BORN - 1), True),
        (identity("bob", issued=BORN), False),
        (identity("bob"), True),
        (identity("bob", "t2", BORN + 1), False),
    ],
)
@virtual
async def test_a_revocation_covers_a_token_or_the_older_tokens_of_a_user(
    who: Identity,
    covered: bool,  # noqa: FBT001  # a table's column
) -> None:
    """A token is found by its `jti`, or by its user and an `iat` before the time; one without `iat` is older."""
    revocations = ClusterPod().revocations
    revocations.learn(Revocation(jti="t1", until=BORN + 60))
    revocations.learn(Revocation(user="bob", before=BORN, until=BORN + 60))
    assert revocations.covers(who) is covered
    await asyncio.sleep(60)
    assert not revocations.covers(who)


@virtual
async def test_a_later_revocation_takes_nothing_back() -> None:
    """Of two revocations of one token or user the later time and the longer life count."""
    revocations = ClusterPod().revocations
    revocations.learn(Revocation(user="bob", before=BORN, until=BORN + 60))
    revocations.learn(Revocation(user="bob", before=BORN - 100, until=BORN + 10))
    await asyncio.sleep(30)
    assert revocations.covers(identity("bob", issued=BORN - 1))
    assert len(revocations) == 1


@virtual
async def test_what_has_run_out_or_says_nothing_is_not_kept() -> None:
    """A revocation of the past and one without a token or a user change nothing."""
    pod = ClusterPod()
    connection = await pod.connect(token="t1")
    pod.revocations.learn(Revocation(jti="t1", until=BORN))
    pod.revocations.learn(Revocation(until=BORN + 60))
    assert (len(pod.revocations), connection.ended) == (0, None)


@virtual
async def test_only_the_connections_that_are_covered_end() -> None:
    """A revoked user loses all connections of older tokens, and a revoked token those that use it."""
    pod = ClusterPod()
    one, other, bob = await pod.connect(token="t1"), await pod.connect(token="t2"), await pod.connect("bob")
    pod.revocations.learn(Revocation(jti="t1", until=BORN + 60))
    pod.revocations.learn(Revocation(user="bob", before=BORN, until=BORN + 60))
    assert [each.ended and each.ended.code for each in (one, other, bob)] == [
        CloseCode.REVOKED,
        None,
        CloseCode.REVOKED,
    ]


@virtual
async def test_a_revoked_token_is_not_verified() -> None:
    """It is refused as a bad token although its signature is good; others come through."""
    pod, trusting = ClusterPod(), Trusting()
    verifier = RevocationVerifier(trusting, pod.revocations)
    pod.revocations.learn(Revocation(jti="t1", until=BORN + 60))
    assert (await verifier.verify("t2")).token_id == "t2"
    with pytest.raises(Refusal) as refusal:
        await verifier.verify("t1")
    assert refusal.value.code is ErrorCode.BAD_TOKEN
    await verifier.close()
    assert trusting.closed
