"""Requests the document of a key set: through a proxy and with a private authority where there is one.

The proxy is the one that the standard variables HTTPS_PROXY and NO_PROXY name. Errors are told in our own words: those
of a library can repeat the address of a proxy with its password, or the document.
"""

import asyncio
import ssl
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from yarl import URL

from forestay.edge.loopback import is_loopback

MAX_BYTES: Final = 256 * 1024
"""The largest document that is read. A key set has some kilobytes."""


class NotFetched(Exception):
    """The document did not come. The message says why, without the address."""


class Document(NamedTuple):
    """What the address answered."""

    body: bytes
    cache_control: str
    date: str
    """The time of the server, as the header Date has it; empty where it has none."""


class KeySetClient:
    """Reads the document at one address. Raises ValueError where the address, the authority or the proxy is wrong."""

    def __init__(self, url: str, ca: Path | None = None) -> None:
        """`url`: https, or http on this machine. `ca`: a PEM file with the only authorities that are trusted."""
        self._url = _allowed(url)
        self._ca = ca
        self._proxy()
        self._trust()

    @property
    def host(self) -> str:
        """The host of the address. The rest of it may be a secret."""
        return self._url.host or ""

    async def download(self, within: float) -> Document:
        """The document with what the answer says of it. `within`: seconds for all of it. Raises NotFetched."""
        try:
            async with asyncio.timeout(within):
                return await self._download()
        except TimeoutError:
            raise NotFetched(f"no whole answer within {within:g} s") from None
        except (ClientError, OSError, ValueError) as error:
            raise NotFetched(_explained(error)) from None

    async def _download(self) -> Document:
        proxy, login = self._proxy()
        try:
            trust = self._trust()
        except ValueError as error:
            raise NotFetched(str(error)) from None
        # One session for one request: the next is minutes away, and an idle connection would be closed by then.
        async with (
            ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)) as session,
            session.get(
                self._url,
                headers={"Accept": "application/json"},
                # An attacker who can make the endpoint redirect must not choose our keys.
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=login,
                ssl=trust,
            ) as response,
        ):
            if response.status != 200:
                raise NotFetched(f"status {response.status} instead of 200")
            body = bytearray()
            # Counted as it arrives, after decompression: neither the announced length nor the sent one can be trusted.
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise NotFetched(f"more than {MAX_BYTES} bytes")
            headers = response.headers
            return Document(bytes(body), ", ".join(headers.getall("Cache-Control", [])), headers.get("Date", ""))

    def _trust(self) -> ssl.SSLContext | bool:
        """What certificates are checked against. A file is read anew each time: it may have been replaced."""
        if self._ca is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._ca))
        except ssl.SSLError:
            raise ValueError(f"{self._ca} has no certificate in PEM; FORESTAY_JWKS_CA names the authority") from None
        except OSError as error:
            raise ValueError(
                f"cannot read {self._ca}: {error.strerror}; FORESTAY_JWKS_CA names the authority"
            ) from None

    def _proxy(self) -> tuple[URL | None, dict[str, str]]:
        """The proxy that the environment names, and the header with its login. Addresses on this machine need none."""
        if self._url.scheme == "http":
            return None, {}
        known = urllib.request.getproxies_environment()
        text = known.get("https") or known.get("all")
        if not text or urllib.request.proxy_bypass(f"{self.host}:{self._url.port}"):
            return None, {}
        try:
            proxy = URL(text if "://" in text else f"http://{text}")
            usable = proxy.scheme in ("http", "https") and bool(proxy.host)
        except ValueError:
            usable = False
        if not usable:
            # Not repeated, because it can have a password.
            raise ValueError("HTTPS_PROXY is not an http or https address; repair it, or name the host in NO_PROXY")
        if proxy.user is None:
            return proxy, {}
        login = b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
        return proxy.with_user(None), {"Proxy-Authorization": f"Basic {login}"}


def _explained(error: Exception) -> str:
    """What happened, in words that repeat nothing secret."""
    match error:
        case ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
            return f"the certificate of the issuer is not trusted: {why}; FORESTAY_JWKS_CA can name its authority"
        case ClientHttpProxyError():
            return f"the proxy refused with status {error.status}"
        case ClientProxyConnectionError():
            return f"the proxy cannot be reached: {error.os_error.strerror or 'its name is unknown'}"
        case ClientConnectorDNSError():
            return "the name of the host is unknown"
        case ClientConnectorError():
            return f"no connection: {error.os_error.strerror or 'refused'}"
        case _:
            return f"the answer broke off or is not HTTP ({type(error).__name__})"


def _allowed(text: str) -> URL:
    """`text` as the address of a key set. Raises ValueError."""
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("the JWKS URL is not an address; write it in full, like https://issuer.example/keys") from None
    host = url.host or ""
    if not host or url.scheme not in ("http", "https"):
        raise ValueError("the JWKS URL is not an https address; write it in full, like https://issuer.example/keys")
    if url.scheme == "http" and not is_loopback(host):
        raise ValueError("the JWKS URL is plain http, so anyone on the network could replace the keys; use https")
    if url.user is not None or url.password is not None:
        raise ValueError("the JWKS URL contains a user name or password; key sets are public, leave it out")
    return url
