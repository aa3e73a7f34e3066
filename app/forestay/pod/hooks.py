"""Builds what asks the application, where it has hooks: a module of Python, or requests over HTTP."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_urlsafe

import structlog

from forestay.core.hooks.decisions import AnswerBounds
from forestay.core.hooks.hooks import HookRules
from forestay.core.ports.hooks import HookForm
from forestay.core.ports.observer import Observer
from forestay.core.rules.hooks import OF_CONNECTIONS, Hook
from forestay.core.rules.policies import Policies
from forestay.edge.log_throttle import LogThrottle
from forestay.hooks.loading import HookModule, HookModuleError, load
from forestay.hooks.python_form import PythonHooks
from forestay.outbound.hooks.http_hooks import Bounds, HookRuntime, HttpHooks
from forestay.outbound.receiver import Receiver
from forestay.outbound.signature import parse_secret
from forestay.settings.hooks import OnFailure
from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Application:
    """The application that is asked."""

    form: HookForm
    asked: frozenset[Hook]
    """The hooks that are about no room, those that are asked or told."""
    immediate: frozenset[Hook] = frozenset()
    """Those that never wait for anything."""
    broken: Callable[[], Mapping[str, bool]] = dict
    """Whether the circuit breaker of each hook is open; empty where the form has none."""


class HookLog(Observer):
    """Logs hooks that fail: at most one line in ten seconds, with a count and the last cause of each kind."""

    def __init__(self) -> None:
        self._throttle = LogThrottle("hooks failed", log.warning)

    def hook_failed(self, hook: Hook, failure: str, cause: str) -> None:
        """See Observer.hook_failed."""
        self._throttle.count(f"{hook.value} {failure}", cause)


def load_hooks(settings: Settings, policies: Policies) -> tuple[HookModule | None, list[str]]:
    """The module of hooks, where the settings name one; and one line for each problem."""
    module_name, url_name = variable_of("hooks_module"), variable_of("hooks_url")
    problems: list[str] = []
    if settings.hooks_module and settings.hooks_url:
        return None, [f"{module_name} and {url_name} are both set; hooks have one form: take one of them out"]
    if policies.hooks and not (settings.hooks_module or settings.hooks_url):
        problems.append(
            f"{variable_of('rooms_file')}: a room has hooks, but neither {module_name} nor {url_name} is set; "
            "set one of them, or take the hooks out"
        )
    if settings.hooks_module is None:
        return None, problems
    try:
        module = load(settings.hooks_module)
    except HookModuleError as error:
        return None, [f"{module_name}: {problem}" for problem in error.problems]
    missing = sorted(policies.hooks - module.functions.keys())
    problems += [
        f"{variable_of('rooms_file')}: a room has the hook {hook}, but {module.file} has no function of this name; "
        f"write async def {hook}(event), or take it out of the room"
        for hook in missing
    ]
    return module, problems


def unused_hooks(settings: Settings, policies: Policies, module: HookModule | None) -> Sequence[str]:
    """One line for each function of the module that is never called."""
    lines: list[str] = []
    for hook in sorted(module.functions) if module is not None else ():
        if hook in OF_CONNECTIONS and hook not in settings.hooks_ask:
            lines.append(f"the hook {hook} is never asked: {variable_of('hooks_ask')} leaves it out")
        elif hook not in OF_CONNECTIONS and hook not in policies.hooks:
            file = variable_of("rooms_file")
            lines.append(f'the hook {hook} is never asked: no room in {file} has hooks = ["{hook}"]')
    return lines


def make_application(settings: Settings, module: HookModule | None) -> Application | None:
    """Build what asks the application; None where it has no hooks. Needs a running loop."""
    asked = frozenset(settings.hooks_ask)
    if module is not None:
        return Application(PythonHooks(module), asked.intersection(module.functions), module.immediate)
    if settings.hooks_url is None:
        return None
    secrets = (settings.hooks_secret, settings.hooks_secret_previous)
    keys = tuple(parse_secret(each.get_secret_value()) for each in secrets if each)
    receiver = Receiver(settings.hooks_url, keys, settings.hooks_timeout, settings.hooks_ca)
    bounds = Bounds(settings.hooks_concurrency, settings.max_message_bytes, settings.json_depth)
    around = HookRuntime(time.time, time.monotonic, lambda: token_urlsafe(9), random.uniform)
    http = HttpHooks(receiver, bounds, around)
    return Application(http, asked, broken=http.broken)


def hook_rules(settings: Settings, application: Application) -> HookRules:
    """Return what holds for every hook."""
    return HookRules(
        application.asked,
        settings.hooks_timeout,
        settings.hooks_concurrency,
        settings.hooks_on_failure is OnFailure.ALLOW,
        AnswerBounds(settings.max_message_bytes, settings.json_depth, settings.rooms_per_connection),
        application.immediate,
    )
