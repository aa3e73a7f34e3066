"""Reads the file with the keys of backends, and reads it again when it changes.

The file has digests and no keys. A new content that cannot be read changes nothing: the keys that were read last stay.
"""

import asyncio
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from forestay.core.rules.scopes import Grant, Scope
from forestay.protocol.names import Pattern

log = structlog.get_logger(__name__)

INTERVAL: Final = 2.0
"""Seconds between two looks at the file. A mounted Secret takes up to a minute to change anyway."""

DEFAULT: Final = "default"
PREVIOUS: Final = "previous"
"""The names of the two keys of the settings. No key of the file may have one of them."""

_MAX_BYTES: Final = 256 * 1024
_MAX_KEYS: Final = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII).fullmatch
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII).fullmatch
_FIELDS: Final = frozenset({"name", "sha256", "scopes"})
_PLACE = re.compile(r"\(at [^)]*\)").search


class ApiKeysFile:
    """The keys in one file. The constructor raises ValueError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: bytes | None = self._read()
        self._grants = read_keys(self._content)

    @property
    def grants(self) -> Mapping[bytes, Grant]:
        """What each key allows, by its digest."""
        return self._grants

    async def watch(self) -> None:
        """Look at the file again and again."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.look()

    def look(self) -> None:
        """Read the file if its content has changed. Logs what came of it, once for each content."""
        try:
            content = self._read()
        except ValueError as error:
            if self._content is not None:
                self._content = None
                self._keep(error)
            return
        if content == self._content:
            return
        self._content = content
        try:
            self._grants = read_keys(content)
        except ValueError as error:
            self._keep(error)
        else:
            log.info("api keys read", keys=sorted(grant.name for grant in self._grants.values()))

    def _keep(self, error: ValueError) -> None:
        names = sorted(grant.name for grant in self._grants.values())
        log.error("api keys not read; the last ones stay", error=str(error), keys=names)

    def _read(self) -> bytes:
        try:
            # The loop would stand still while it opens a pipe.
            if self._path.exists() and not self._path.is_file():
                raise ValueError(f"{self._path} is not a file; check the path and the mount")
            with self._path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ValueError(f"cannot read {self._path}: {error.strerror}; check the path and the mount") from None
        if len(content) > _MAX_BYTES:
            raise ValueError(f"{self._path} has more than {_MAX_BYTES} bytes")
        return content


def read_keys(content: bytes) -> Mapping[bytes, Grant]:
    """What each key of a file allows, by the digest of the key. Raises ValueError, which repeats no value of the file.

    Somebody may have written a key where its digest belongs.
    """
    try:
        document = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = _PLACE(str(error))
        raise ValueError(f"the file is not TOML {place[0] if place else ''}".rstrip()) from None
    tables = document.get("keys")
    if document.keys() != {"keys"} or not isinstance(tables, list) or not tables:
        raise ValueError("the file must have one [[keys]] table for each key, and nothing else")
    if len(tables) > _MAX_KEYS:
        raise ValueError(f"the file has {len(tables)} keys, more than {_MAX_KEYS}")
    grants: dict[bytes, Grant] = {}
    names: set[str] = set()
    for number, table in enumerate(tables, 1):
        digest, grant = _read_key(table, f"key {number} of the file")
        if digest in grants or grant.name in names:
            raise ValueError(f"key {number} of the file has the name or the sha256 of another one")
        names.add(grant.name)
        grants[digest] = grant
    return grants


def _read_key(table: object, which: str) -> tuple[bytes, Grant]:
    if not isinstance(table, dict) or not table.keys() <= _FIELDS:
        raise ValueError(f"{which} has something else than name, sha256 and scopes")
    name, digest = table.get("name"), table.get("sha256")
    if not isinstance(name, str) or not _NAME(name):
        raise ValueError(f"{which} needs a name: up to 64 letters, digits, '.', '_' and '-'")
    if name in (DEFAULT, PREVIOUS):
        raise ValueError(f"{which} has a name that a key of the settings has: {DEFAULT} and {PREVIOUS} are taken")
    if not isinstance(digest, str) or not _DIGEST(digest):
        raise ValueError(f"{which} needs a sha256 of 64 hexadecimal digits; make it with: printf %s KEY | sha256sum")
    return bytes.fromhex(digest), Grant(name, _read_scopes(table.get("scopes"), which))


def _read_scopes(scopes: object, which: str) -> Mapping[Scope, list[Pattern]]:
    form = 'write scopes = { publish = ["orders.**"] }, with publish, read or manage, and patterns of rooms or "@me"'
    if not isinstance(scopes, dict) or not scopes or not scopes.keys() <= set(Scope):
        raise ValueError(f"{which} needs scopes; {form}")
    if not all(isinstance(patterns, list) for patterns in scopes.values()):
        raise ValueError(f"{which} has a scope that is not a list of patterns; {form}")
    if not all(isinstance(text, str) for patterns in scopes.values() for text in patterns):
        raise ValueError(f"{which} has a pattern that is none; {form}")
    try:
        return {Scope(scope): [Pattern(text) for text in patterns] for scope, patterns in scopes.items()}
    except ValueError:
        raise ValueError(f"{which} has a pattern that is none; {form}") from None
