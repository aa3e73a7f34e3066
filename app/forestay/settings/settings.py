"""All settings of a pod, and how they are read from the environment.

Only the composition root and the command line import this. A setting NAME is the variable FORESTAY_NAME. Durations
are in seconds, or have units: `30s`, `1h30m`.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, Self

from pydantic import SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from forestay.bus.redis.signatures import Signatures
from forestay.settings.access import Access
from forestay.settings.hooks import HookSettings
from forestay.settings.limits import Limits
from forestay.settings.secrets import PREFIX, SECRETS, read_secret, variable_of
from forestay.settings.surroundings import Surroundings
from forestay.settings.timing import Timing
from forestay.settings.ways_in import WaysIn
from forestay.settings.webhooks import Webhooks
from forestay.settings.wording import reason, shown_default

TOKEN: Final = "FORESTAY_TOKEN"
"""Not a setting, but the token of the commands that act as a client."""
URL: Final = "FORESTAY_URL"
"""Not a setting either, but the gateway to which these commands connect."""

# Settings that can hold a secret beside what they are for: a password in a URL.
_NOT_REPEATED: Final = frozenset({*SECRETS, "jwks_url", "hooks_url", "webhooks_url"})
# The most characters of a value that an error repeats.
_MOST_REPEATED: Final = 80
# The largest number of any setting. Its thousandfold still fits into the whole numbers that clients read.
_LARGEST: Final = 10**12


class PodIdentity(NamedTuple):
    """The identity of this pod in a cluster, from the downward API. An unknown value is empty."""

    pod: str
    namespace: str
    uid: str
    service: str
    """The Service that clients connect to."""


class Settings(Timing, Limits, Access, WaysIn, Webhooks, HookSettings, Surroundings, BaseSettings):
    """All settings. The class of each group has its fields."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    @field_validator("*")
    @classmethod
    def _is_no_larger_than_clients_read(cls, value: object) -> object:
        if isinstance(value, int | float) and value > _LARGEST:
            raise ValueError(f"larger than {_LARGEST:.0e}, the most that a number may be")
        return value

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port == self.internal_port != 0:
            names = f"{variable_of('port')} and {variable_of('internal_port')}"
            raise ValueError(f"{names} are both {self.port}; give the public and the internal port different numbers")
        return self

    @model_validator(mode="after")
    def _signatures_need_a_secret(self) -> Self:
        if self.bus_secret is None and (self.bus_signatures is Signatures.REQUIRED or self.bus_secret_previous):
            name = "bus_secret_previous" if self.bus_secret_previous else "bus_signatures"
            raise ValueError(
                f"{variable_of(name)} needs {variable_of('bus_secret')}; make one with: openssl rand -base64 48"
            )
        return self

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
    """Reads the settings from `environ` (default: os.environ). Raises SettingsError with all problems.

    White space around a value does not count: editors, shells and mounted files add it, and nobody sees it.
    """
    source = {name: value.strip() for name, value in (os.environ if environ is None else environ).items()}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name in Settings.model_fields:
        try:
            value = read_secret(name, source) if name in SECRETS else source.get(variable_of(name))
        except ValueError as error:
            problems.append(str(error))
        else:
            if value is not None:
                values[name] = value
    values |= {
        name: value.strip() if isinstance(value, str) else value
        for name, value in overrides.items()
        if value is not None
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems += [
            _explain(detail["loc"], values, reason(detail["type"], detail.get("ctx", {}), detail["msg"]))
            for detail in error.errors()
        ]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def pod_identity(environ: Mapping[str, str] | None = None) -> PodIdentity:
    """Reads the identity of this pod from variables that the chart sets. Their usual names have no prefix."""
    source = os.environ if environ is None else environ
    return PodIdentity(*(source.get(name, "") for name in ("POD_NAME", "POD_NAMESPACE", "POD_UID", "SERVICE_NAME")))


def unknown_variables(environ: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """The variables with our prefix that are not settings, each with the most similar setting, or None.

    Most often they are typing errors.
    """
    known = {TOKEN, URL, *map(variable_of, Settings.model_fields), *(f"{variable_of(name)}_FILE" for name in SECRETS)}
    unknown = sorted(name for name in (environ or os.environ) if name.upper().startswith(PREFIX) and name not in known)
    return {name: next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.75)), None) for name in unknown}


def explain_unknown(environ: Mapping[str, str] | None = None) -> list[str]:
    """One line for each variable with our prefix that is not a setting."""
    return [
        f"{name} is not a setting and is ignored" + (f"; did you mean {similar}?" if similar else "")
        for name, similar in unknown_variables(environ).items()
    ]


def _explain(where: tuple[int | str, ...], values: Mapping[str, object], why: str) -> str:
    """One line about a problem. `where`: the path of the value, beginning with the setting; empty: several settings."""
    if not where:
        return why
    name = str(where[0])
    field = Settings.model_fields[name]
    given = "" if name in _NOT_REPEATED else f" (given: {_shortened(repr(values.get(name)))})"
    # A default is public, also where the setting is a secret.
    known = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    default = f"; default {shown}" if (shown := shown_default(known)) else ""
    return f"{variable_of(name)}: {why}{given}. Meaning: {field.description}{default}"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_REPEATED else f"{text[:_MOST_REPEATED]}…, {len(text)} characters"
