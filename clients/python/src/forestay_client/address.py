"""Checks the address of a gateway, and repeats none of it in an error: there may be a token in it, or a password."""

from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxy, InvalidURI
from websockets.proxy import parse_proxy
from websockets.uri import parse_uri

from forestay_client.errors import AddressError

_EXAMPLE = "an address such as wss://example.com/ws"
_INSTEAD = {"http": "ws", "https": "wss"}


def check(url: str) -> None:
    """Raises AddressError for what is no address of a WebSocket."""
    if not isinstance(url, str):
        raise AddressError(f"{_EXAMPLE}, not {url.__class__.__name__}")
    try:
        scheme = urlsplit(url).scheme
        if instead := _INSTEAD.get(scheme):
            raise AddressError(f"{_EXAMPLE}: {instead}:// in place of {scheme}://")
        parse_uri(url)
    except InvalidURI as error:
        wrong = error.msg if url.startswith(("ws:", "wss:")) else "this one does not begin with ws:// or wss://"
        raise AddressError(f"{_EXAMPLE}: {wrong}") from None
    except AddressError:
        raise
    except ValueError:
        raise AddressError(f"{_EXAMPLE}: the host or the port of this one cannot be read") from None


def check_proxy(proxy: object) -> None:
    """Raises AddressError for what is no address of a proxy."""
    if proxy is None or proxy is True:
        return
    try:
        parse_proxy(str(proxy))
    except (InvalidProxy, ValueError):
        raise AddressError("a proxy such as http://proxy.example.com:3128, and this one is none") from None
