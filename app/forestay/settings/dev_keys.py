"""Keeps the keys of development: random ones, made once for each user of this machine.

`serve --dev` and `token --dev` find the same keys here, whatever the port of the gateway is, and an open page outlives
a restart. Only their owner can read them. The folder has the form of `SECRETS_DIR`: one file for each secret.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

NAMES: Final = ("jwt_secret", "api_key")
"""The secrets that development needs."""

# Of a key in its file. A file that somebody has cut must not become a weak key.
_LEAST_LENGTH: Final = 32


class NoDevKeysError(Exception):
    """The keys cannot be kept or read. The message says why, and what to do."""


def folder(environ: Mapping[str, str]) -> Path:
    """Where the keys are: in `$XDG_STATE_HOME`, else in `~/.local/state`. Raises NoDevKeysError."""
    named = Path(environ.get("XDG_STATE_HOME", ""))
    try:
        # A relative path does not count, as the specification of these folders says.
        base = named if named.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        raise NoDevKeysError("there is no home folder to keep keys in; set XDG_STATE_HOME") from None
    return base / "forestay" / "dev"


def dev_key(name: str, environ: Mapping[str, str]) -> str:
    """The key `name`, which is made if it is not there yet. Raises NoDevKeysError."""
    path = folder(environ) / name.replace("_", "-")
    try:
        if not path.is_symlink() and not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise NoDevKeysError(f"{path}: {error.strerror or error}; make the folder writable, or remove it") from None


def _make(path: Path) -> None:
    """Write a new key, whole or not at all. Where another process is faster, its key stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        found = os.fstat(descriptor)
        key = file.read(1000).strip()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077):
        raise NoDevKeysError(f"{path}: others can read or change this key; remove it, and the next start makes another")
    if len(key) < _LEAST_LENGTH:
        raise NoDevKeysError(f"{path}: the key is too short; remove it, and the next start makes another")
    return key
