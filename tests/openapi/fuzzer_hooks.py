"""Shortens the streams that the fuzzer opens, which would keep it waiting for ten minutes each.

The fuzzer loads this file, in an environment of its own that has nothing of the gateway.
"""

from typing import Any

import schemathesis


def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Ask for a stream of no seconds where the request asks for a number that is allowed, or for none."""
    if case.path.endswith("/watch"):
        query = dict(case.query or {})
        seconds = str(query.get("seconds", 600))
        if seconds.isascii() and seconds.isdecimal() and int(seconds) <= 3600:
            case.query = query | {"seconds": 0}


schemathesis.hook(before_call)
