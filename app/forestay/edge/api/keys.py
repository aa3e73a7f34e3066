"""Checks the keys of backends: the one or two of the settings, which may do everything, and those of a file.

Only digests are kept and compared, each time all of them and in constant time. So neither the memory of the process nor
the time of an answer shows a key.
"""

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256

from aiohttp import web

from forestay.core.ports.observer import Observer
from forestay.core.rules.scopes import Grant, full_grant
from forestay.edge.api.keys_file import DEFAULT, PREVIOUS, ApiKeysFile
from forestay.edge.log_throttle import LogThrottle
from forestay.protocol.codes import ErrorCode, Refusal


class ApiKeys:
    """Who a backend is, by the key that its request carries."""

    def __init__(self, secrets: Sequence[str], file: ApiKeysFile | None, observer: Observer) -> None:
        """`secrets`: the current key, and behind it the previous one; empty where none are configured."""
        names = zip(secrets, (DEFAULT, PREVIOUS), strict=False)
        self._fixed = {sha256(secret.encode()).digest(): full_grant(name) for secret, name in names}
        self._file = file
        self._observer = observer
        self._refused = LogThrottle("api keys refused")
        self._outdated = LogThrottle("previous api key used")

    def check(self, request: web.Request) -> Grant:
        """What the key of `request` allows. Raises Refusal with BAD_TOKEN where the key is missing or unknown.

        Of several different keys none counts: a proxy may have judged by another one.
        """
        lines = request.headers.getall("Authorization", [""])
        if len(set(lines)) > 1:
            raise self._refusal("unknown", "the request has several keys")
        scheme, _, key = lines[0].partition(" ")
        given = key.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""
        if not given:
            raise self._refusal("missing", "the API key is missing")
        grant = self._find(given)
        if grant is None:
            raise self._refusal("unknown", "the API key is unknown")
        if grant.name == PREVIOUS:
            self._outdated.count("count")
        return grant

    def _find(self, given: bytes) -> Grant | None:
        digest, found = sha256(given).digest(), None
        for known, grant in self._all().items():
            if hmac.compare_digest(known, digest):
                found = grant
        return found

    def _all(self) -> Mapping[bytes, Grant]:
        return self._fixed if self._file is None else {**self._fixed, **self._file.grants}

    def _refusal(self, reason: str, fault: str) -> Refusal:
        self._observer.key_refused(reason)
        self._refused.count(reason)
        return Refusal(ErrorCode.BAD_TOKEN, f"{fault}; send 'Authorization: Bearer <API_KEY>'")
