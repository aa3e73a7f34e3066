"""The settings: names, types, defaults and descriptions, read once from the environment.

Only the composition root and the command line import this. A setting NAME is the variable FORESTAY_NAME; secrets can
also come from the file that FORESTAY_NAME_FILE names. Durations are in seconds.
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
"""Not a setting, but the token of the commands that act as a client."""
MEMORY: Final = "memory://"
"""The bus URL of a single pod."""

MIN_SECRET_BYTES: Final = 32
"""Bytes: the length of an HMAC key for HS256. A random secret of this length cannot be guessed."""

SECRETS: Final = ("bus_url", "jwt_secret", "jwt_public_key", "api_key")
"""Settings that can also come from a file."""


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
    if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"shorter than {MIN_SECRET_BYTES} bytes; make one with: openssl rand -base64 48")
    return value


def _empty_is_unset(value: object) -> object:
    return None if value == "" else value


WordList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_unset), AfterValidator(_long_enough)]
Text = Annotated[str | None, BeforeValidator(_empty_is_unset)]


class PodIdentity(NamedTuple):
    """The identity of this pod in a cluster, from the downward API. An unknown value is empty."""

    pod: str
    namespace: str
    uid: str
    service: str
    """The Service that clients connect to."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    host: str = Field("0.0.0.0", description="address that both ports listen on")
    port: int = Field(8080, ge=0, le=65535, description="public port: WebSocket and the demo page; 0: any free port")
    internal_port: int = Field(
        9090, ge=0, le=65535, description="port of the probes, the metrics and the HTTP API; keep it private"
    )
    bus_url: Annotated[SecretStr, AfterValidator(_bus_url)] = Field(
        SecretStr("memory://"), description="URL of the bus between pods; memory:// is for a single pod"
    )
    bus_timeout: float = Field(5, gt=0, description="seconds to wait for the bus; after that the outcome is unknown")
    bus_probe_interval: float = Field(5, gt=0, description="seconds between probes through the bus")

    jwt_secret: Secret = Field(None, description="HMAC key that verifies tokens, at least 32 bytes")
    jwt_public_key: Annotated[SecretStr | None, BeforeValidator(_empty_is_unset)] = Field(
        None, description="public key that verifies tokens, as PEM"
    )
    jwks_url: Text = Field(None, description="https URL of the key set that verifies tokens")
    jwt_algorithms: WordList = Field([], description="accepted algorithms; empty: those that fit the key")
    jwt_audience: Text = Field(None, description="required `aud` of tokens; empty: not checked")
    jwt_issuer: Text = Field(None, description="required `iss` of tokens; empty: not checked")
    default_rights: str = Field("**:rwph", description="rights of tokens without a `rooms` claim: pattern:letters, …")
    query_token: bool = Field(True, description="accept tokens in the URL; old clients need it, proxies may log it")
    api_key: Secret = Field(None, description="key of backends for /v1, at least 32 bytes; unset: 401")
    allowed_origins: Annotated[WordList, AfterValidator(_origins)] = Field(
        [], description="origins of pages that may connect; empty: the same host; *: any"
    )

    max_connections: int = Field(10_000, ge=1, description="connections of this pod; above that upgrades get 503")
    max_connections_per_user: int = Field(0, ge=0, description="connections of one user on all pods; 0: no limit")
    user_limit_policy: UserLimitPolicy = Field(
        UserLimitPolicy.REJECT,
        description="what gets 4409 above that limit: the newest (reject) or the oldest (replace)",
    )
    handshakes: int = Field(4096, ge=1, description="upgrades in progress at the same time; above that 503")
    max_message_bytes: int = Field(65536, ge=128, le=16 * 2**20, description="bytes of one message; above that 1009")
    json_depth: int = Field(
        512, ge=8, le=900, description="nested arrays and objects of one message; common parsers allow more"
    )
    message_rate: float = Field(200, ge=0, description="messages per second and connection; 0: no limit")
    message_burst: float = Field(400, ge=1, description="messages that may come at once, above the rate")
    rooms_per_connection: int = Field(100, ge=1, description="rooms of one connection")

    presence_lease: float = Field(30, ge=3, description="seconds that a pod without a heartbeat still counts")
    presence_grace: float = Field(
        5, ge=0, description="seconds that a user stays present after the last connection ended"
    )

    ping_interval: float = Field(
        25, gt=0, description="seconds between pings; keep it below the idle timeout of every proxy"
    )
    pong_timeout: float = Field(10, gt=0, description="seconds to wait for data after a ping; then 4408")
    flush_rest: float = Field(1, ge=0, le=10, description="seconds of rest per second of delivery pass; 0: no rest")
    flush_rest_cap: float = Field(
        0.01, ge=0, le=1, description="longest rest in seconds; it adds to the latency of messages"
    )
    send_buffer_bytes: int = Field(
        2**20, ge=4096, description="bytes that may wait for one client; above that it is slow"
    )
    drain_window: float = Field(
        30, ge=0, description="seconds from SIGTERM in which connections are closed; 0: all at once"
    )
    drain_lead: float = Field(
        2, ge=0, description="seconds from the reconnect request of a client to its close; at most half the window"
    )
    close_timeout: float = Field(
        5, gt=0, description="seconds to wait for a client's close frame before the connection is cut"
    )
    flush_timeout: float = Field(5, ge=0, description="seconds to leave the bus and to send telemetry at the exit")
    drain_deadline: Annotated[float | None, BeforeValidator(_empty_is_unset)] = Field(
        None,
        gt=0,
        description="seconds from SIGTERM to the exit; unset: window + close + flush; less shortens the window",
    )
    reconnect_spread: float = Field(
        2, ge=0, description="seconds over which clients spread their reconnects after a loss"
    )
    kubernetes_events: bool = Field(False, description="write Kubernetes Events about this pod: drains, a lost bus")
    readiness_bus: BusReadiness = Field(
        BusReadiness.AUTO,
        description="whether a lost bus makes the pod unready: auto (if others have it), strict, degraded (never)",
    )
    readiness_grace: float = Field(5, ge=0, description="seconds that a lost bus leaves the pod ready")
    readiness_lag: float = Field(1, ge=0, description="seconds of event loop lag that make the pod unready; 0: never")
    rebalance_shed: bool = Field(False, description="ask connections above the pod's fair share to connect elsewhere")
    rebalance_max_age: float = Field(
        0, ge=0, description="seconds after which a connection is asked to reconnect; 0: never"
    )

    rooms_file: Annotated[Path | None, BeforeValidator(_empty_is_unset)] = Field(
        None, description="TOML file with the policies of rooms by pattern"
    )

    trace_parent: TraceParent = Field(
        TraceParent.LINK,
        description="a client's own trace: link (start a new trace with a link to it), child (continue it)",
    )
    trace_names: bool = Field(False, description="put the names of rooms and users on spans; they can be private data")

    demo: bool = Field(False, description="serve the demo page at / of the public port")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level that is logged")
    log_format: LogFormat = Field(LogFormat.AUTO, description="json, text, or auto: text on a terminal")

    @property
    def drain_budget(self) -> float:
        """The longest duration of a drain in seconds, unless the deadline shortens it."""
        return self.drain_window + self.close_timeout + self.flush_timeout

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (sources["init_settings"],)


class SettingsError(Exception):
    """Invalid settings. `problems` has one line per problem, with what to do about it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Reads the settings from `environ` (default: os.environ). Raises SettingsError with all problems."""
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
            except OSError as error:
                problems.append(f"{variable}_FILE: cannot read {path}: {error.strerror}; check the path and the mount")
            except UnicodeDecodeError:
                problems.append(f"{variable}_FILE: {path} is not text; write the secret as UTF-8")
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


def pod_identity(environ: Mapping[str, str] | None = None) -> PodIdentity:
    """Reads the identity of this pod from variables that the chart sets. Their usual names have no prefix."""
    source = os.environ if environ is None else environ
    return PodIdentity(*(source.get(name, "") for name in ("POD_NAME", "POD_NAMESPACE", "POD_UID", "SERVICE_NAME")))


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """The variables with our prefix that are not settings. Most often they are typing errors."""
    known = {variable_of(name) for name in Settings.model_fields} | {variable_of(name) + "_FILE" for name in SECRETS}
    return sorted(name for name in (environ or os.environ) if name.startswith(PREFIX) and name not in known | {TOKEN})


def variable_of(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def _explain(name: int | str, values: Mapping[str, object], message: str) -> str:
    field = Settings.model_fields[str(name)]
    given = "" if name in SECRETS else f" (given: {values.get(str(name))!r})"
    reason = message.removeprefix("Value error, ")
    # A default is public, also where the setting is a secret.
    known = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    default = "" if known in (None, []) else f"; default {known}"
    return f"{variable_of(str(name))}: {reason}{given}. Meaning: {field.description}{default}"
