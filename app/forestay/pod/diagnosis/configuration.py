"""Checks what the settings say, without asking anybody: doubts about them, the origins, and the limit of open files."""

from collections.abc import Sequence

from forestay.ops.tracing.plan import prepare
from forestay.pod.diagnosis.findings import Finding, ok, warn
from forestay.pod.file_limit import divide, raise_limit
from forestay.pod.hooks import unused_hooks
from forestay.pod.inputs import Parts
from forestay.pod.open_settings import open_settings
from forestay.pod.telemetry import planned
from forestay.pod.times import slow_answers
from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings, explain_unknown, pod_identity


def doubts(settings: Settings, parts: Parts) -> Sequence[str]:
    """One line for each setting that is valid, and perhaps not what the operator wants, with what to do."""
    lines = [
        *explain_unknown(),
        *open_settings(settings, parts.claim_rights),
        *slow_answers(settings),
        *unused_hooks(settings, parts.policies, parts.hook_module),
        *prepare(planned(pod_identity()))[1],
    ]
    if settings.api_key is None and settings.api_keys_file is None:
        lines.append(f"{variable_of('api_key')} is not set: the HTTP API answers every request with 401")
    return lines


def check_settings(settings: Settings, parts: Parts) -> Sequence[Finding]:
    """The doubts, or that there are none."""
    return [warn("settings", line) for line in doubts(settings, parts)] or [ok("settings", "valid, without doubts")]


def check_origins(settings: Settings) -> Finding:
    """Which pages may connect."""
    name = variable_of("allowed_origins")
    if not settings.allowed_origins:
        return warn(
            "origins",
            f"{name} is not set: only pages of the gateway's own host may connect, all others get 403",
            f"set {name} (in the chart: origins) to the origins of your pages, such as https://app.example.com",
        )
    return ok("origins", f"pages of {', '.join(settings.allowed_origins)} may connect")


def check_files(settings: Settings) -> Finding:
    """Whether the process may open a file for each connection."""
    files, wanted = divide(raise_limit()), settings.max_connections
    what = f"{files.limit} files may be open, which is enough for {files.clients} connections"
    if wanted > files.clients:
        return warn(
            "files",
            f"{what}, fewer than {variable_of('max_connections')} ({wanted})",
            "raise the limit (ulimit -n, LimitNOFILE), or lower the setting",
        )
    return ok("files", f"{what}; {wanted} are allowed")
