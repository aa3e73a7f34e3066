"""Checks what a pod asks: Redis, the issuer of tokens, the application, and the cluster."""

import math
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.connection import ConnectError, Misconfigured
from forestay.bus.redis.examination import Examination, examine
from forestay.edge.tokens.key_set_client import KeySetClient, NotFetched
from forestay.edge.tokens.keys import Keys
from forestay.ops.health.readiness import BusReadiness
from forestay.ops.kubernetes.api import ACCOUNT, Cluster, Pod
from forestay.ops.kubernetes.unanswered import Unanswered
from forestay.outbound.receiver import Receiver
from forestay.outbound.session import NotReached, reach
from forestay.pod.diagnosis.findings import Finding, fail, ok, warn
from forestay.settings.secrets import variable_of
from forestay.settings.settings import PodIdentity, Settings
from forestay.settings.surroundings import MEMORY

# The oldest Redis that the tests run on.
_OLDEST: Final = (6, 2)

# Seconds between two clocks: from the first on tokens are refused, from the second on signed messages are dropped.
_NOTABLE: Final = 5.0
_HARMFUL: Final = 60.0

# Statuses with which a proxy says that there is nothing behind it.
_NOTHING_BEHIND: Final = frozenset({502, 503, 504})


class _Right(NamedTuple):
    """What a feature does in the cluster."""

    verb: str
    group: str
    resource: str
    lost: str
    """What a pod without it cannot do."""
    off: str
    """The values of the chart with which nothing needs it."""


_SLICES: Final = [
    _Right(
        verb,
        "discovery.k8s.io",
        "endpointslices",
        "a pod does not know its neighbours",
        "readiness.bus=degraded, rebalance.shed=false",
    )
    for verb in ("list", "watch")
]
_EVENTS: Final = [
    _Right(verb, "events.k8s.io", "events", "it writes no Events", "events.enabled=false")
    for verb in ("create", "patch")
]


async def check_redis(settings: Settings, within: float) -> Sequence[Finding]:
    """Redis: reached, its version, the rights of the user, its memory, and its clock."""
    url = settings.bus_url.get_secret_value()
    if url == MEMORY:
        return [ok("redis", "none is needed: memory:// is the bus of a single pod")]
    try:
        nodes = await examine(parse_address(url), within, time.time)
    except Misconfigured as error:
        return [fail("redis", str(error))]
    except ConnectError as error:
        return [
            fail("redis", str(error).rstrip("."), f"check {variable_of('bus_url')}, the network, and that Redis runs")
        ]
    return [found for node in nodes for found in _node(node)]


def _node(node: Examination) -> Sequence[Finding]:
    version = ".".join(map(str, node.version))
    name = f"{node.server} {version} at {node.host}"
    if node.version < _OLDEST:
        found = [
            fail("redis", f"{name} is older than 6.2, and lacks commands", "update it; docs/redis.md names versions")
        ]
    else:
        found = [ok("redis", f"{name} answers")]
    if node.missing:
        rules = " ".join(node.missing)
        found.append(fail("rights", f"the user of {node.host} lacks {rules}", f"ACL SETUSER name {rules}"))
    else:
        found.append(ok("rights", f"the user may run all commands at {node.host}"))
    found += [fail("rights", f"a command failed at {node.host}: {line}") for line in node.others]
    if node.full:
        found.append(fail("memory", f"{node.host} has reached its maxmemory, and takes no more messages", "raise it"))
    if node.eviction not in ("", "noeviction"):
        found.append(
            warn(
                "memory",
                f"{node.host} may evict messages (maxmemory-policy {node.eviction})",
                "set maxmemory-policy noeviction",
            )
        )
    if not math.isnan(node.ahead):
        found.append(_clock(f"Redis at {node.host}", node.ahead))
    return found


async def check_keys(settings: Settings, keys: Keys, within: float) -> Sequence[Finding]:
    """The issuer's key set: fetched, with keys that verify tokens, and its clock."""
    if settings.jwks_url is None:
        return [ok("keys", f"tokens are verified with {' and '.join(keys.algorithms)}, by a key of the settings")]
    client = KeySetClient(settings.jwks_url, settings.jwks_ca)
    try:
        document = await client.download(within)
        usable, unused = keys.examine(document.body)
    except (NotFetched, ValueError) as error:
        remedy = f"check {variable_of('jwks_url')}, and that pods reach it"
        return [fail("keys", f"the key set of {client.host} cannot be used: {error}", remedy)]
    found = [ok("keys", f"{usable} usable keys from {client.host}")]
    found += [warn("keys", f"a key of {client.host} is not used: {why}") for why in unused]
    try:
        date = parsedate_to_datetime(document.date).timestamp()
    except (TypeError, ValueError):
        return found
    # The header has whole seconds.
    return [*found, _clock(f"the issuer {client.host}", date + 0.5 - time.time())]


def _clock(whose: str, ahead: float) -> Finding:
    """What it means that the clock of another differs by so many seconds."""
    off = abs(ahead)
    if off < _NOTABLE:
        return ok("clock", f"it agrees with that of {whose}")
    what = f"it is {off:.0f} s {'behind' if ahead > 0 else 'ahead of'} that of {whose}"
    remedy = "keep all clocks right by NTP: tokens are refused, and signed messages dropped, where they differ"
    return (fail if off >= _HARMFUL else warn)("clock", what, remedy)


async def check_receiver(name: str, url: str | None, ca: Path | None, within: float) -> Sequence[Finding]:
    """The application at one address: `name` is `hooks` or `webhooks`. Nothing where there is none."""
    if url is None:
        return []
    try:
        status = await reach(Receiver(url, (), within, ca), variable_of(f"{name}_ca"))
    except NotReached as error:
        remedy = f"check {variable_of(f'{name}_url')}, and that pods reach it"
        return [fail(name, f"the application cannot be reached: {error}", remedy)]
    if status in _NOTHING_BEHIND:
        return [fail(name, f"a proxy answers with {status}: there is nothing behind it", "start the application")]
    return [ok(name, f"the application answers (a GET without a signature got {status})")]


async def check_cluster(settings: Settings, where: PodIdentity, account: Path = ACCOUNT) -> Sequence[Finding]:
    """What the features that ask the cluster need. Nothing outside of a cluster. `account`: the folder of its token."""
    if not (where.pod and where.namespace):
        return []
    wanted: list[_Right] = []
    if where.service and (settings.readiness_bus is BusReadiness.AUTO or settings.rebalance_shed):
        wanted += _SLICES
    if settings.kubernetes_events:
        wanted += _EVENTS
    if not wanted:
        return [ok("cluster", "no feature asks it")]
    cluster = Cluster(Pod(where.namespace, where.pod, where.uid), where.service, account)
    try:
        missing = [one for one in wanted if not await cluster.allows(one.verb, one.group, one.resource)]
    except Unanswered as error:
        what = f"the API server does not answer ({error.cause}): {str(error)[:200]}"
        return [fail("cluster", what, "mount the service account's token (serviceAccount.automount), or open its port")]
    finally:
        await cluster.close()
    if missing:
        names = ", ".join(f"{one.verb} {one.resource}.{one.group}" for one in missing)
        lost = ", and ".join(dict.fromkeys(one.lost for one in missing))
        off = ", ".join(dict.fromkeys(one.off for one in missing))
        return [
            fail(
                "cluster",
                f"the service account may not {names}",
                f"rbac.create=true of the chart gives them, or switch off what needs them ({off}); without them {lost}",
            )
        ]
    return [ok("cluster", "the service account has the rights of all features")]
