"""Every knob with its default, unit and reason; read once, from the environment.

Only the composition root and the command line import this. A setting NAME is the variable FORESTAY_NAME; secrets can
also come from the file that FORESTAY_NAME_FILE names. Durations are seconds.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from forestay.bus.redis.client.address import parse_address
from forestay.core.cluster.user_limit import UserLimitPolicy
from forestay.edge.origins import Origins
from forestay.ops.health.readiness import BusReadiness
from forestay.ops.logs.logs import LogFormat
from forestay.ops.tracing.sampling import TraceParent

PREFIX: Final = "FORESTAY_"
TOKEN: Final = "FORESTAY_TOKEN"
"""No setting, but a client's token: for the verbs of the terminal."""
MEMORY: Final = "memory://"
"""The bus of a single pod."""

SHORTEST_SECRET: Final = 32
"""Bytes: what an HMAC key for HS256 needs, and what cannot be guessed."""

SECRETS: Final = ("bus_url", "jwt_secret", "jwt_public_key", "api_key")
"""Settings that can come from a file."""


def _split(value: object) -> object:
    return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value


def _origins(value: list[str]) -> list[str]:
    Origins(value)
    return value


def _bus_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value() != MEMORY:
        parse_address(value.get_secret_value())
    return value


def _long_enough(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().encode()) < SHORTEST_SECRET:
        raise ValueError(f"shorter than {SHORTEST_SECRET} bytes; make one with: openssl rand -base64 48")
    return value


def _empty_is_unset(value: object) -> object:
    return None if value == "" else value


Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_unset), AfterValidator(_long_enough)]
Text = Annotated[str | None, BeforeValidator(_empty_is_unset)]


class Whereabouts(NamedTuple):
    """Where in a cluster this pod is, from the downward API; what is not known is empty."""

    pod: str
    namespace: str
    uid: str
    service: str
    """The Service that clients come through."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    host: str = Field("0.0.0.0", description="address that both listeners bind")
    port: int = Field(8080, ge=0, le=65535, description="public port: WebSocket and the demo page")
    internal_port: int = Field(9090, ge=0, le=65535, description="probes, metrics and the HTTP API; keep it private")
    bus_url: Annotated[SecretStr, AfterValidator(_bus_url)] = Field(
        SecretStr("memory://"), description="how pods hear each other; memory:// is one pod"
    )
    bus_timeout: float = Field(5, gt=0, description="for an answer of the bus, then a publish is of unknown outcome")
    bus_probe_interval: float = Field(5, gt=0, description="between probes that travel through the bus and back")

    jwt_secret: Secret = Field(None, description="HMAC key of tokens, at least 32 bytes")
    jwt_public_key: Annotated[SecretStr | None, BeforeValidator(_empty_is_unset)] = Field(
        None, description="public key of tokens, PEM"
    )
    jwks_url: Text = Field(None, description="where the public keys of tokens are published, https")
    jwt_algorithms: Words = Field([], description="algorithms accepted; empty: those that fit the key")
    jwt_audience: Text = Field(None, description="required `aud` of tokens; empty: not looked at")
    jwt_issuer: Text = Field(None, description="required `iss` of tokens; empty: not looked at")
    default_rights: str = Field("**:rwph", description="rights of tokens without a `rooms` claim: pattern:letters, …")
    query_token: bool = Field(True, description="accept tokens in the URL; existing clients use it, proxies log it")
    api_key: Secret = Field(None, description="key of backends for /v1, at least 32 bytes; unset: /v1 answers 401")
    allowed_origins: Annotated[Words, AfterValidator(_origins)] = Field(
        [], description="origins of pages that may connect; empty: pages of the same host; * any"
    )

    max_connections: int = Field(10_000, ge=1, description="connections of this pod; beyond it upgrades get 503")
    max_connections_per_user: int = Field(0, ge=0, description="connections of one user; 0 is no limit")
    user_limit_policy: UserLimitPolicy = Field(
        UserLimitPolicy.REJECT, description="who gets 4409 beyond it: the newest (reject) or the oldest (replace)"
    )
    handshakes: int = Field(4096, ge=1, description="upgrades under way at once; beyond it 503")
    max_message_bytes: int = Field(65536, ge=128, le=16 * 2**20, description="bytes of one message; beyond it 1009")
    json_depth: int = Field(512, ge=8, le=900, description="nested arrays and objects; below what common parsers take")
    message_rate: float = Field(200, ge=0, description="messages per second and connection; 0 is no limit")
    message_burst: float = Field(400, ge=1, description="messages that may come at once")
    rooms_per_connection: int = Field(100, ge=1, description="rooms that one connection may be in")

    presence_lease: float = Field(30, ge=3, description="for which a pod that gives no sign of life is still counted")
    presence_grace: float = Field(5, ge=0, description="for which a user whose connection ended is still in its rooms")

    ping_interval: float = Field(25, gt=0, description="between pings; keep it below every proxy's idle timeout")
    pong_timeout: float = Field(10, gt=0, description="for any sign of life after a ping; beyond it 4408")
    flush_rest: float = Field(1, ge=0, le=10, description="rest per second of delivery pass; 0 writes without a rest")
    flush_rest_cap: float = Field(0.01, ge=0, le=1, description="longest rest: what it may add to a message's latency")
    send_buffer_bytes: int = Field(2**20, ge=4096, description="bytes that may wait for one client; beyond: slow")
    drain_window: float = Field(30, ge=0, description="from SIGTERM, over which connections are closed; 0: at once")
    drain_lead: float = Field(
        2, ge=0, description="between a client's slot to reconnect and its close; half the window"
    )
    close_timeout: float = Field(5, gt=0, description="for a client's answer to a close frame, then it is cut")
    flush_timeout: float = Field(5, ge=0, description="to say goodbye to the bus and flush telemetry when ending")
    drain_deadline: Annotated[float | None, BeforeValidator(_empty_is_unset)] = Field(
        None, gt=0, description="from SIGTERM to the exit; unset: window + close + flush; it shortens the window"
    )
    reconnect_spread: float = Field(2, ge=0, description="over which clients spread their return after a loss")
    kubernetes_events: bool = Field(False, description="write Events about this pod: drains, a lost bus")
    readiness_bus: BusReadiness = Field(
        BusReadiness.AUTO,
        description="what a lost bus does to readiness: auto: if others have it, strict, degraded: never",
    )
    readiness_grace: float = Field(5, ge=0, description="for which a lost bus is not answered with unreadiness")
    readiness_lag: float = Field(1, ge=0, description="of event loop lag beyond which the pod is not ready; 0 is never")
    rebalance_shed: bool = Field(False, description="ask connections above the pod's fair share to connect elsewhere")
    rebalance_max_age: float = Field(0, ge=0, description="after which a connection is asked to connect anew; 0: never")

    rooms_file: Annotated[Path | None, BeforeValidator(_empty_is_unset)] = Field(
        None, description="TOML file with the policies of rooms by pattern"
    )

    trace_parent: TraceParent = Field(
        TraceParent.LINK, description="a client's own trace: link starts a new one and links to it, child goes on in it"
    )
    trace_names: bool = Field(False, description="name rooms and users on spans; they are your users' names")

    demo: bool = Field(False, description="serve the demo page at / of the public port")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_format: LogFormat = Field(LogFormat.AUTO, description="json, text, or auto: text on a terminal")

    @property
    def drain_budget(self) -> float:
        """Seconds that a drain takes at most, if the deadline does not cut it."""
        return self.drain_window + self.close_timeout + self.flush_timeout

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (sources["init_settings"],)


class SettingsError(Exception):
    """Settings that cannot be used; `problems` has a line for each, with what to do about it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """The settings in `environ` (default: ours), `overrides` first. Raises SettingsError with all problems."""
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name in Settings.model_fields:
        variable = variable_of(name)
        if name in SECRETS and (path := source.get(variable + "_FILE")):
            if source.get(variable):
                problems.append(f"{variable} and {variable}_FILE are both set; keep one")
            try:
                values[name] = Path(path).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{variable}_FILE: cannot read {path}: {error}")
        elif variable in source:
            values[name] = source[variable]
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems += [_explain(name, values, detail["msg"]) for detail in error.errors() for name in detail["loc"][:1]]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def whereabouts(environ: Mapping[str, str] | None = None) -> Whereabouts:
    """What the chart tells a pod of its place: variables without our prefix, as everybody calls them."""
    source = os.environ if environ is None else environ
    return Whereabouts(*(source.get(name, "") for name in ("POD_NAME", "POD_NAMESPACE", "POD_UID", "SERVICE_NAME")))


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables with our prefix that mean nothing: most often a slip of the keyboard."""
    known = {variable_of(name) for name in Settings.model_fields} | {variable_of(name) + "_FILE" for name in SECRETS}
    return sorted(name for name in (environ or os.environ) if name.startswith(PREFIX) and name not in known | {TOKEN})


def variable_of(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def _explain(name: int | str, values: Mapping[str, object], message: str) -> str:
    field = Settings.model_fields[str(name)]
    given = "" if name in SECRETS else f" (it is {values.get(str(name))!r})"
    reason = message.removeprefix("Value error, ")
    default = "" if field.default in (None, []) else f"; default {field.default}"
    return f"{variable_of(str(name))}: {reason}{given}. It means: {field.description}{default}"
