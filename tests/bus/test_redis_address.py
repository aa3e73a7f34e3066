"""The forms of the bus URL, and the errors about wrong ones."""

import re

import pytest

from forestay.bus.redis.client.address import Address, HostPort, parse_address

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address((HostPort("cache", 6379),))),
        ("redis://cache:7000/3", Address((HostPort("cache", 7000),), database=3)),
        ("redis://[::1]:7000", Address((HostPort("::1", 7000),))),
        ("redis://:p%40ss@cache", Address((HostPort("cache", 6379),), password="p@ss")),
        ("redis://ada:a:b@cache", Address((HostPort("cache", 6379),), user="ada", password="a:b")),
        ("redis://ada:a@b@cache", Address((HostPort("cache", 6379),), user="ada", password="a@b")),
        ("rediss://cache", Address((HostPort("cache", 6379),), tls=True)),
        ("redis://cache?tls=1&ca=/etc/ca.pem", Address((HostPort("cache", 6379),), tls=True, ca="/etc/ca.pem")),
        ("redis://cache?tls=0&prefix=blue", Address((HostPort("cache", 6379),), prefix="blue")),
        ("unix:///run/redis.sock", Address((HostPort("/run/redis.sock", 0),))),
        (
            "unix://ada:pw@/run/my%20redis.sock?db=2",
            Address((HostPort("/run/my redis.sock", 0),), database=2, user="ada", password="pw"),
        ),
        (
            "rediss://cache?cert=/etc/pod.crt&key=/etc/pod.key",
            Address((HostPort("cache", 6379),), tls=True, cert="/etc/pod.crt", key="/etc/pod.key"),
        ),
        (
            "redis+cluster://a?map=10.0.0.1:7000->nat:1,[fd00::1]->nat:2",
            Address(
                (HostPort("a", 6379),),
                cluster=True,
                nat=(
                    (HostPort("10.0.0.1", 7000), HostPort("nat", 1)),
                    (HostPort("fd00::1", 6379), HostPort("nat", 2)),
                ),
            ),
        ),
        ("redis+cluster://a:1,b", Address((HostPort("a", 1), HostPort("b", 6379)), cluster=True)),
        ("redis+cluster://a/0?tls=true", Address((HostPort("a", 6379),), cluster=True, tls=True)),
        (
            "redis+sentinel://:pw@a,b:1/2?master=m",
            Address((HostPort("a", 26379), HostPort("b", 1)), master="m", database=2, password="pw"),
        ),
    ],
)
def test_every_form_is_read(url: str, address: Address) -> None:
    """A URL can name one server, a Cluster or sentinels, with and without TLS and a user."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", "scheme"),
        ("cache:6379", "scheme"),
        ("http://cache", "scheme"),
        ("redis://", "host"),
        ("redis://cache:0", "port"),
        ("redis://cache:70000", "port"),
        ("redis://cache:port", "host"),
        (f"redis://u:{SECRET}/x@cache", "%2F"),
        (f"redis://u:{SECRET}#x@cache", "%2F"),
        ("redis://[::1", "URL"),
        ("redis://a,b", "redis+cluster"),
        ("redis://cache/one", "database"),
        ("redis+cluster://a/1", "database 0"),
        ("redis+sentinel://a,b", "master"),
        ("redis://a?master=m", "sentinel"),
        ("redis://a?ca=/x", "tls=1"),
        ("redis://a?tls=maybe", "tls"),
        ("redis://a?prefix=a:b", "prefix"),
        ("redis://a?prefix={a}", "prefix"),
        ("redis://a?timeout=3", "option"),
        ("redis://a?tls=1&tls=0", "twice"),
        (f"redis+sentinel://u:{SECRET}@a", "master"),
    ],
)
def test_a_wrong_url_is_explained(url: str, error: str) -> None:
    """The error names the remedy, and does not repeat the password."""
    with pytest.raises(ValueError, match=re.escape(error)) as raised:
        parse_address(url)
    assert SECRET not in str(raised.value)


def test_a_password_is_not_shown() -> None:
    """The representation of an address has no password: it may end up in a traceback."""
    assert SECRET not in repr(parse_address(f"redis://u:{SECRET}@cache"))
