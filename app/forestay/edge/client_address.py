"""Finds the address of a client behind proxies that are trusted.

A header is believed only if the connection came from a trusted proxy. It lists the hops, the nearest one last. The
right-most address that is not a trusted proxy is the client's: what stands to the left of it was written by the client.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from multidict import CIMultiDictProxy

_Address = IPv4Address | IPv6Address

# Hops that are looked at. More proxies in a row do not exist, and a header can have thousands of entries.
_MOST_HOPS: Final = 20

_LONGEST: Final = 64
"""Characters of one entry. A longer one is no address."""

_FOR: Final = re.compile(r"(?:^|;)\s*for\s*=\s*(\"[^\"]*\"|[^;\s]*)", re.IGNORECASE)


class TrustedProxies:
    """The networks of the proxies whose word is taken."""

    def __init__(self, networks: Sequence[str]) -> None:
        """`networks`: addresses, or networks in CIDR form. Raises ValueError for other text."""
        self._networks: list[IPv4Network | IPv6Network] = []
        for text in networks:
            try:
                self._networks.append(ip_network(text))
            except ValueError:
                raise ValueError(
                    f"{text!r} is not an address or a network; write it like 10.0.0.0/8, without bits behind the prefix"
                ) from None

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: str | None) -> bool:
        """Whether the peer with this address is a trusted proxy."""
        parsed = _parse(address or "")
        return parsed is not None and self._trusts(parsed)

    def client(self, peer: str | None, headers: CIMultiDictProxy[str]) -> str | None:
        """The address of the client whose connection came from `peer`; None where that is not known.

        Where `X-Forwarded-For` and `Forwarded` name different clients, one of them came through unchanged from the
        client. Then neither is believed.
        """
        nearest = _parse(peer or "")
        if nearest is None:
            return peer
        if not self._networks or not self._trusts(nearest):
            return str(nearest)
        found = {
            self._last_untrusted(nearest, hops)
            for hops in (_split(headers.getall("X-Forwarded-For", [])), _forwarded(headers.getall("Forwarded", [])))
            if hops
        }
        return str(found.pop() if len(found) == 1 else nearest)

    def _last_untrusted(self, nearest: _Address, hops: Sequence[str]) -> _Address:
        for hop in reversed(hops[-_MOST_HOPS:]):
            address = _parse(hop)
            if address is None:
                return nearest
            nearest = address
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _split(lines: Sequence[str]) -> list[str]:
    """The entries of a header, of all its lines, in order."""
    return [entry for line in lines for entry in line.split(",")]


def _forwarded(lines: Sequence[str]) -> list[str]:
    """The `for` of each element of `Forwarded` (RFC 7239). An element without one is a hop that cannot be read."""
    return [found[1] if (found := _FOR.search(element)) else "" for element in _split(lines)[-_MOST_HOPS:]]


def _parse(text: str) -> _Address | None:
    """An address that may have quotes, brackets, a port or a zone around it. None where it is none."""
    text = text.strip().strip('"')
    if len(text) > _LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
