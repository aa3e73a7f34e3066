"""What the command line has for development: the kept keys, the guests of the demo page, and what `serve` prints."""

import hmac
import os
import secrets
import shlex
import sys
from pathlib import Path
from typing import Final

from forestay import __version__
from forestay.pod.development import TREE, Development
from forestay.pod.minting import mint_token
from forestay.settings.dev_keys import NAMES, NoDevKeysError, dev_key
from forestay.settings.secrets import places_of
from forestay.settings.settings import Settings, SettingsError
from forestay.settings.surroundings import MEMORY
from forestay.web.guests import Guests

_TOKEN_KEYS = ("jwt_secret", "jwt_public_key", "jwks_url")

# Seconds that a guest's token is valid.
_DAY: Final = 86400.0


def kept_keys() -> dict[str, object]:
    """The keys of this user's gateways for development, without those that the environment has.

    Raises NoDevKeysError.
    """
    return {name: dev_key(name, os.environ) for name in _missing()}


def overrides(host: str | None, bus_url: str | None) -> tuple[dict[str, object], str]:
    """Return the settings that --dev overrides, and why its keys end with it, or nothing. Raises SettingsError.

    The gateway is reachable from this machine only.
    """
    if host not in (None, "127.0.0.1", "localhost", "::1"):
        raise SettingsError(["--dev listens on a loopback address only; leave out --host or --dev"])
    found: dict[str, object] = {"host": host or "127.0.0.1", "demo": True}
    if bus_url is None:
        found["bus_url"] = MEMORY
    try:
        return found | kept_keys(), ""
    except NoDevKeysError as error:
        return found | {name: secrets.token_urlsafe(48) for name in _missing()}, str(error)


def development(settings: Settings) -> Development:
    """What is other in a gateway with these settings. It has guests where it can mint tokens for them."""
    if settings.jwt_secret is None:
        return Development()
    # The same for the same secret, so that the link outlives a restart. It gives away nothing of the secret.
    key = hmac.digest(settings.jwt_secret.get_secret_value().encode(), b"forestay demo page", "sha256")
    return Development(guests=Guests(key.hex()[:32], lambda user: mint_token(settings, user, None, _DAY)))


def banner(settings: Settings, ports: tuple[int, int], guests: Guests | None, why_not_kept: str) -> str:
    """What to print when the gateway serves. `guests`: those of the demo page; None where it cannot mint tokens."""
    port, internal_port = ports
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    public = f"{host}:{port}{settings.path_prefix}"
    page = f"http://{public}/" + (f"#key={guests.key}    each tab is another person" if guests else "")
    lines = [
        f"forestay {__version__} runs INSECURELY, for development: on loopback only, for all pages of this machine.",
        "",
        f"page      {page}",
        *([f"docs      http://{public}/docs/"] if (TREE / "docs").is_dir() else []),
        f"socket    ws://{public}/ws",
        f"internal  http://{host}:{internal_port}/metrics",
        f"token     {guests.mint('alice') if guests else '<token>'}",
    ]
    if why_not_kept:
        lines.append(f"more      set FORESTAY_JWT_SECRET for `forestay token`: {why_not_kept}")
    elif guests:
        dev = "" if places_of("jwt_secret", os.environ) else "--dev "
        lines += [
            f"as carol  {_command()} token {dev}--user carol",
            f"a reader  {_command()} token {dev}--user reader --rooms 'log.*:rph' 'chat.lobby:rph'",
        ]
    lines.append(f"api key   {settings.api_key.get_secret_value() if settings.api_key else 'none'}")
    return "\n" + "\n".join(f"  {line}".rstrip() for line in lines) + "\n"


def _missing() -> list[str]:
    """The secrets that the environment does not have. Any key that verifies tokens stands for the secret."""
    has_token_key = any(places_of(name, os.environ) for name in _TOKEN_KEYS)
    return [name for name in NAMES if not (has_token_key if name == "jwt_secret" else places_of(name, os.environ))]


def _command() -> str:
    """How this program was started, to be copied."""
    started = Path(sys.argv[0])
    return "python -m forestay" if started.name == "__main__.py" else shlex.quote(sys.argv[0])
