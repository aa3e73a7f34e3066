"""Reads the header of the PROXY protocol, versions 1 and 2, with which a load balancer names the client's address."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

_V1: Final = b"PROXY "
_V1_LONGEST: Final = 107
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = 16
# Addresses and the additions that load balancers make. The protocol allows 64 KiB; nothing sends that.
_V2_LONGEST: Final = 2048

_LOCAL, _PROXIED = 0x20, 0x21
_IPV4, _IPV6 = 0x11, 0x21


class ProxyHeader(NamedTuple):
    """A complete header."""

    size: int
    """Its bytes. The request follows them; 0 where there is no header."""
    client: str | None
    """The client's address; None where the proxy speaks for itself, or does not know it."""


class Malformed(Exception):
    """The bytes begin like a header and are none."""


def read_header(data: bytes) -> ProxyHeader | None:
    """The header at the start of `data`; None while it may not be complete. Raises Malformed."""
    if data.startswith(_V1):
        return _read_v1(data)
    if data.startswith(_V2):
        return _read_v2(data)
    if data and (_V1.startswith(data) or _V2.startswith(data)):
        return None
    return ProxyHeader(0, None)


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise Malformed
        return None
    match data[:end].split(b" "):
        case [_, b"TCP4" | b"TCP6", source, _, _, _]:
            try:
                return ProxyHeader(end + 2, str(ip_address(source.decode("ascii"))))
            except ValueError:
                raise Malformed from None
        case [_, b"UNKNOWN", *_]:
            return ProxyHeader(end + 2, None)
        case _:
            raise Malformed


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_HEAD:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(_V2))
    if command not in (_LOCAL, _PROXIED) or length > _V2_LONGEST:
        raise Malformed
    size = _V2_HEAD + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return ProxyHeader(size, None)
    if family == _IPV4 and length >= 12:
        return ProxyHeader(size, str(IPv4Address(data[_V2_HEAD : _V2_HEAD + 4])))
    if family == _IPV6 and length >= 36:
        return ProxyHeader(size, str(IPv6Address(data[_V2_HEAD : _V2_HEAD + 16])))
    return ProxyHeader(size, None)
