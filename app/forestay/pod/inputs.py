"""Builds the parts that can fail because of wrong settings, before the server starts: keys, rules, and files."""

import asyncio
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forestay.core.ports.tasks import Tasks
from forestay.core.ports.verifier import Verifier
from forestay.core.rules.events import Namespaces, parse_namespaces
from forestay.core.rules.policies import SHIPPED, Policies, parse_policy
from forestay.core.rules.tables import read_tables
from forestay.edge.api.keys_file import ApiKeysFile
from forestay.edge.engineio.client_file import ClientFile
from forestay.edge.tokens.claim_rights import ClaimRights, parse_claim_rights
from forestay.edge.tokens.jwks import KeySetAddress
from forestay.edge.tokens.keys import Keys
from forestay.edge.tokens.verifier import TokenRules, TokenVerifier
from forestay.hooks.loading import HookModule
from forestay.pod.development import Development
from forestay.pod.event_loops import NewLoop, choose
from forestay.pod.hooks import load_hooks
from forestay.pod.tasks import Supervisor
from forestay.settings.secrets import PREFIX, variable_of
from forestay.settings.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that a pod needs beside its settings. They need no loop."""

    verifier: Verifier
    keys: Keys
    """Those that the verifier uses."""
    policies: Policies
    tasks: Supervisor
    """Runs the background tasks of the whole pod, those of the verifier too."""
    namespaces: Namespaces = field(default_factory=Namespaces)
    """Those of Socket.IO clients, with the rules for their events."""
    api_keys: ApiKeysFile | None = None
    """The file with the keys of backends; None where there is none."""
    client_file: ClientFile | None = None
    """The client of Socket.IO that pages load from here; None where there is none."""
    hook_module: HookModule | None = None
    """The application's hooks in Python; None where there are none."""
    claim_rights: ClaimRights | None = None
    """Those that the verifier uses; None where there are none."""
    new_loop: NewLoop = asyncio.new_event_loop
    """Makes the event loop that the pod runs on."""
    development: Development | None = None
    """What is other in development; None outside of it."""


def prepare(settings: Settings, tasks: Supervisor, development: Development | None = None) -> Parts:
    """Build the parts. `development`: what is other than outside of development. Raises SettingsError."""
    problems: list[str] = []
    verifier = rules = None
    try:
        rules = _read_rules(settings, development)
    except ValueError as error:
        problems.append(f"{variable_of('rooms_file')}: {error}")
    try:
        keys = _keys(settings, tasks)
    except ValueError as error:
        problems.append(f"{PREFIX}JWT_* and {variable_of('jwks_url')}: {error}")
    else:
        try:
            verifier = _verifier(settings, keys, None if rules is None else rules.claim_rights)
        except ValueError as error:
            problems.append(f"{variable_of('default_rights')}: {error}")
    policies = rules.policies if rules is not None else Policies()
    problems += _missing(settings, policies)
    hook_module, hook_problems = load_hooks(settings, policies)
    problems += hook_problems
    api_keys = None
    try:
        api_keys = _api_keys(settings)
    except ValueError as error:
        problems.append(f"{variable_of('api_keys_file')}: {error}")
    client_file = None
    try:
        client_file = None if settings.socketio_client is None else ClientFile(settings.socketio_client)
    except ValueError as error:
        problems.append(f"{variable_of('socketio_client')}: {error}")
    new_loop = None
    try:
        new_loop = choose(settings.loop)
    except ValueError as error:
        problems.append(str(error))
    if problems or verifier is None or rules is None or new_loop is None:
        raise SettingsError(problems)
    return Parts(
        verifier,
        keys,
        rules.policies,
        tasks,
        rules.namespaces,
        api_keys,
        client_file,
        hook_module,
        rules.claim_rights,
        new_loop,
        development,
    )


def _api_keys(settings: Settings) -> ApiKeysFile | None:
    return None if settings.api_keys_file is None else ApiKeysFile(settings.api_keys_file)


def _keys(settings: Settings, tasks: Tasks) -> Keys:
    secret, public_key = settings.jwt_secret, settings.jwt_public_key
    if not (secret or public_key or settings.jwks_url):
        either = ", ".join(variable_of(name) for name in ("jwt_secret", "jwt_public_key", "jwks_url"))
        file = (
            f", or put the file jwt-secret or jwt-public-key into {settings.secrets_dir} (in the chart: a key of that "
            "name into the Secret of auth.existingSecret)"
            if settings.secrets_dir
            else ""
        )
        raise ValueError(f"no token key: set one of {either}{file}; or try it out with: forestay serve --dev")
    _check_pair(settings, "jwt_secret_previous", "jwt_secret")
    _check_pair(settings, "jwks_ca", "jwks_url")
    secrets = (secret, settings.jwt_secret_previous)
    return Keys(
        tasks,
        secrets=[each.get_secret_value().encode() for each in secrets if each],
        public_key=public_key.get_secret_value() if public_key else None,
        key_set=KeySetAddress(settings.jwks_url, settings.jwks_ca) if settings.jwks_url else None,
        algorithms=settings.jwt_algorithms,
    )


def _missing(settings: Settings, policies: Policies) -> list[str]:
    """One line for each setting that is not set, and that another one needs."""
    pairs = {
        "api_key_previous": "api_key",
        "hooks_url": "hooks_secret",
        "hooks_secret": "hooks_url",
        "hooks_secret_previous": "hooks_secret",
        "hooks_ca": "hooks_url",
        "webhooks_url": "webhooks_secret",
        "webhooks_secret": "webhooks_url",
        "webhooks_secret_previous": "webhooks_secret",
    }
    problems: list[str] = []
    for name, needed in pairs.items():
        try:
            _check_pair(settings, name, needed)
        except ValueError as error:
            problems.append(str(error))
    if policies.webhooks and not settings.webhooks_url:
        url = variable_of("webhooks_url")
        problems.append(
            f"{variable_of('rooms_file')}: a room has webhooks, but {url} is not set; set it, or take them out"
        )
    return problems


def _check_pair(settings: Settings, name: str, needed: str) -> None:
    """Raises ValueError where `name` is set without `needed`, which it adds to."""
    if getattr(settings, name) and not getattr(settings, needed):
        raise ValueError(f"{variable_of(name)} is set, but {variable_of(needed)} is not; set both")


def _verifier(settings: Settings, keys: Keys, rights: ClaimRights | None) -> Verifier:
    """Raises ValueError for wrong default rights."""
    if rights is not None and "default_rights" in settings.model_fields_set:
        raise ValueError(
            f"it is set, and {variable_of('rooms_file')} has [[rights]] too, which stand in its place; leave it out, "
            "and write what every token allows as a table without a claim: [[rights]] rooms = { ... }"
        )
    rules = TokenRules(
        settings.default_rights,
        rights,
        audiences=settings.jwt_audience,
        issuers=settings.jwt_issuer,
        names=settings.claim_names,
        max_bytes=settings.max_token_bytes,
        keep_claims=bool(settings.hooks_module or settings.hooks_url),
    )
    return TokenVerifier(keys, rules)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the file with the rules of rooms says."""

    policies: Policies
    namespaces: Namespaces
    claim_rights: ClaimRights | None


def _read_rules(settings: Settings, development: Development | None) -> _Rules:
    """Raises ValueError."""
    document = {} if settings.rooms_file is None else _read_toml(settings.rooms_file)
    unknown = sorted(document.keys() - {"rooms", "rights", "events", "namespaces"})
    if unknown:
        tables = "[[rooms]], [[rights]], [[events]] and [[namespaces]]"
        raise ValueError(f"unknown {', '.join(unknown)}; the tables are {tables}")
    otherwise = SHIPPED if development is None else development.otherwise
    written = [parse_policy(table, otherwise) for table in read_tables("rooms", document.get("rooms", []))]
    policies = Policies([*written, *(() if development is None else development.rooms)], otherwise)
    namespaces = parse_namespaces(document.get("events", []), document.get("namespaces", []))
    return _Rules(policies, namespaces, parse_claim_rights(document.get("rights", [])))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; check the path and the mount") from None
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}; rooms are written as [[rooms]] tables") from None
