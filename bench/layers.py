"""Says which layer of the gateway a sampled stack belongs to.

A sample belongs to the innermost frame whose place is known. What a layer calls in the interpreter or in a library
without a layer of its own is a cost of that layer.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

KERNEL = ("kernel: send", "kernel: receive", "kernel: wait for events", "kernel: other")
SEND, RECEIVE, WAIT, OTHER_CALL = KERNEL
LAYERS = (
    *KERNEL,
    "event loop",
    "aiohttp",
    "edge",
    "protocol",
    "core: sessions and rules",
    "core: rooms",
    "core: delivery",
    "bus",
    "observers",
    "other",
)
OTHER = LAYERS[-1]

_CALLS: Mapping[str, str] = {
    **dict.fromkeys(("send", "__send", "sendto", "sendmsg", "write", "__write", "writev", "__libc_send"), SEND),
    **dict.fromkeys(("recv", "__recv", "recvfrom", "recvmsg", "read", "__read", "readv", "__libc_recv"), RECEIVE),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "__epoll_wait", "select", "poll"), WAIT),
    **dict.fromkeys(("accept4", "accept", "close", "__close", "epoll_ctl", "setsockopt", "shutdown"), OTHER_CALL),
}
# A thread that waits for work or for the interpreter uses no CPU, even where the sampler takes it for active.
_WAITING = re.compile(r"acquire_lock|SimpleQueue_get|take_gil|pthread_cond|sem_(timed|clock)?wait|futex")
_OURS = re.compile(r"/forestay/(\w+)(?:/(\w+))?")
_PACKAGES: Mapping[str, str] = {
    "bus": "bus",
    "edge": "edge",
    "ops": "observers",
    "protocol": "protocol",
    "speedups": "edge",
}
_CORE: Mapping[str, str] = {
    "fanout": "core: delivery",
    "rooms": "core: rooms",
    "hooks": "core: sessions and rules",
    "sessions": "core: sessions and rules",
    "rules": "core: sessions and rules",
    "cluster": "core: rooms",
    "ports": "core: sessions and rules",
    "facts": "observers",
}
_LIBRARIES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"/aiohttp/|/multidict/|/yarl/"), "aiohttp"),
    (re.compile(r"/asyncio/|_asynciomodule|uvloop|libuv|/selectors\.py|selectmodule|socketmodule"), "event loop"),
    (re.compile(r"msgspec"), "protocol"),
    (re.compile(r"/redis/|hiredis"), "bus"),
    (re.compile(r"opentelemetry|prometheus_client|structlog"), "observers"),
)
_FRAME = re.compile(r"(?P<name>.*) \((?P<file>[^()]*)\)$")
# mypyc names a C function by the shortest end of the module's name that no other module has, and three underscores.
_COMPILED = re.compile(r"^(?:CPyDef|CPyPy|CPyImpl)_(?P<path>\w+)")


class Modules:
    """The modules of the gateway, to find the one that a compiled function belongs to."""

    def __init__(self, package: Path) -> None:
        self._layers: dict[str, str] = {}
        for file in sorted(package.rglob("*.py"), key=lambda path: "core" in path.parts):
            parts = [package.name, *file.relative_to(package).with_suffix("").parts]
            layer = _layer_of_file(f"/{'/'.join(parts)}")
            for start in range(len(parts)):
                if layer:
                    self._layers[".".join(parts[start:])] = layer

    def layer(self, name: str) -> str | None:
        """The layer of a function by its C name."""
        found = _COMPILED.match(name)
        parts = found["path"].split("___") if found else []
        for end in range(len(parts), 0, -1):
            if layer := self._layers.get(".".join(parts[:end])):
                return layer
        return None


def _layer_of_file(file: str) -> str | None:
    """The layer of a file, if it has one."""
    if found := _OURS.search(file):
        package, below = found[1], found[2] or ""
        return _CORE.get(below) if package == "core" else _PACKAGES.get(package)
    return next((layer for pattern, layer in _LIBRARIES if pattern.search(file)), None)


def layer(frames: Sequence[str], modules: Modules) -> str | None:
    """The layer of a stack, with its innermost frame last. None if the thread waited."""
    named = [(found["name"], found["file"]) for found in map(_FRAME.match, frames) if found]
    if any(_WAITING.search(name) for name, _ in named[-4:]):
        return None
    if named and named[-1][0] in _CALLS:
        return _CALLS[named[-1][0]]
    for name, file in reversed(named):
        if found := modules.layer(name) or _layer_of_file(file):
            return found
    return OTHER


def counted(lines: Iterable[str], modules: Modules) -> Counter[str]:
    """Samples of each layer, from lines of `frame;frame;frame number`."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, number = line.rstrip().rpartition(" ")
        if one := layer(stack.split(";"), modules):
            found[one] += int(number)
    return found


def shares(samples: Mapping[str, int], user: float, system: float) -> dict[str, float]:
    """Seconds of each layer, where the kernel counted `user` and `system` seconds of CPU.

    Samples alone count a process as running that only waits for a core. So the kernel's own account divides the time
    between its calls and all else, and the samples divide each of the two.
    """
    found = dict.fromkeys(LAYERS, 0.0)
    for seconds, names in ((system, KERNEL), (user, LAYERS[len(KERNEL) :])):
        total = sum(samples.get(name, 0) for name in names)
        for name in names:
            found[name] = seconds * samples.get(name, 0) / total if total else 0.0
    return found
