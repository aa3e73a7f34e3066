"""BUS_URL: what it can say, and what is said about what it cannot."""

import re

import pytest

from forestay.bus.redis.client.address import Address, Place, parse_address

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address((Place("cache", 6379),))),
        ("redis://cache:7000/3", Address((Place("cache", 7000),), database=3)),
        ("redis://[::1]:7000", Address((Place("::1", 7000),))),
        ("redis://:p%40ss@cache", Address((Place("cache", 6379),), password="p@ss")),
        ("redis://ada:a:b@cache", Address((Place("cache", 6379),), user="ada", password="a:b")),
        ("redis://ada:a@b@cache", Address((Place("cache", 6379),), user="ada", password="a@b")),
        ("rediss://cache", Address((Place("cache", 6379),), tls=True)),
        ("redis://cache?tls=1&ca=/etc/ca.pem", Address((Place("cache", 6379),), tls=True, ca="/etc/ca.pem")),
        ("redis://cache?tls=0&prefix=blue", Address((Place("cache", 6379),), prefix="blue")),
        ("redis+cluster://a:1,b", Address((Place("a", 1), Place("b", 6379)), cluster=True)),
        ("redis+cluster://a/0?tls=true", Address((Place("a", 6379),), cluster=True, tls=True)),
        (
            "redis+sentinel://:pw@a,b:1/2?master=m",
            Address((Place("a", 26379), Place("b", 1)), master="m", database=2, password="pw"),
        ),
    ],
)
def test_every_form_is_understood(url: str, address: Address) -> None:
    """One server, a Cluster, sentinels; over TLS or not; with and without a user."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "complaint"),
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
        ("redis://a?timeout=3", "timeout"),
        ("redis://a?tls=1&tls=0", "twice"),
        (f"redis+sentinel://u:{SECRET}@a", "master"),
    ],
)
def test_a_bad_url_says_what_is_wrong(url: str, complaint: str) -> None:
    """The word that helps stands in it, and the password does not."""
    with pytest.raises(ValueError, match=re.escape(complaint)) as raised:
        parse_address(url)
    assert SECRET not in str(raised.value)


def test_a_password_is_not_shown() -> None:
    """An address may end up in a traceback."""
    assert SECRET not in repr(parse_address(f"redis://u:{SECRET}@cache"))
