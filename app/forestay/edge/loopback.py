"""Says whether the host of a URL is the machine itself."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or an address of the loopback, which no other machine can have."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
