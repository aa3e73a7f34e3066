"""Settings of what is around a pod: addresses, the bus, the cluster, logs and traces."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from forestay.bus.redis.client.tls import usable_address
from forestay.bus.redis.signatures import Signatures
from forestay.core.rules.shown import Shown
from forestay.edge.client_address import TrustedProxies
from forestay.ops.logs.logs import LogFormat
from forestay.ops.tracing.sampling import TraceParent
from forestay.settings.fields import AnyCase, AnyCaseUpper, Duration, Secret, Unset, WordList, lower_words

_PATH: Final = re.compile(r"[\w.~/-]+", re.ASCII)

MEMORY: Final = "memory://"
"""The bus URL of a single pod."""


def _bus_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value() != MEMORY:
        usable_address(value.get_secret_value())
    return value


def _networks(value: list[str]) -> list[str]:
    TrustedProxies(value)
    return value


def _path_prefix(value: str) -> str:
    path = value.strip("/")
    if not path:
        return ""
    if not _PATH.fullmatch(path) or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("not a path; write it like /chat or /apps/chat, with letters, digits and -._~")
    return f"/{path}"


Loop = Literal["auto", "uvloop", "asyncio"]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], AnyCaseUpper]


class Surroundings(BaseModel):
    """Where a pod listens, and what it talks to."""

    host: str = Field("0.0.0.0", description="address that both ports listen on; * and :: are all, of IPv4 and IPv6")
    port: int = Field(8080, ge=0, le=65535, description="public port: all that clients use, and the demo; 0: any free")
    internal_port: int = Field(
        9090, ge=0, le=65535, description="port of the probes, the metrics and the HTTP API; keep it private"
    )
    path_prefix: Annotated[str, AfterValidator(_path_prefix)] = Field(
        "", description="path in front of all public paths, for example /chat; empty: none"
    )
    trusted_proxies: Annotated[WordList, AfterValidator(_networks)] = Field(
        [], description="networks of proxies that say the address of a client, for example 10.0.0.0/8; empty: none"
    )
    bus_url: Annotated[SecretStr, AfterValidator(_bus_url)] = Field(
        SecretStr(MEMORY), description="URL of the bus between pods; memory:// is for a single pod"
    )
    bus_secret: Secret = Field(None, description="key that signs messages between pods, at least 32 bytes; unset: none")
    bus_secret_previous: Secret = Field(None, description="another key whose signatures are accepted, to turn keys")
    bus_signatures: Annotated[Signatures, AnyCase] = Field(
        Signatures.ACCEPT, description="messages between pods without a signature: accept or required (drop them)"
    )
    bus_timeout: Duration = Field(5, gt=0, description="seconds to wait for the bus; after that the outcome is unknown")
    bus_probe_interval: Duration = Field(5, gt=0, description="seconds between probes through the bus")

    kubernetes_events: bool = Field(False, description="write Kubernetes Events about this pod: drains, a lost bus")
    rooms_file: Annotated[Path | None, Unset] = Field(
        None, description="TOML file with the policies of rooms by pattern"
    )

    trace_parent: Annotated[TraceParent, AnyCase] = Field(
        TraceParent.LINK,
        description="a client's own trace: link (start a new trace with a link to it), child (continue it)",
    )
    trace_names: bool = Field(False, description="put the names of rooms and users on spans; they can be private data")

    ops_show: Annotated[list[Shown], NoDecode, BeforeValidator(lower_words)] = Field(
        [], description="what operators see of clients: some of addresses, rights and payloads; empty: none"
    )

    loop: Annotated[Loop, AnyCase] = Field(
        "auto", description="event loop: uvloop, asyncio, or auto: uvloop where it is installed"
    )
    demo: bool = Field(False, description="serve the demo page at / of the public port")
    log_level: LogLevel = Field("INFO", description="lowest level that is logged")
    log_format: Annotated[LogFormat, AnyCase] = Field(
        LogFormat.AUTO, description="json, text, or auto: text on a terminal"
    )
