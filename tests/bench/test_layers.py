"""A sampled stack belongs to one layer of the gateway, interpreted or compiled."""

from pathlib import Path

import pytest

from bench.checkouts import ROOT, recognise
from bench.layers import LAYERS, Modules, counted, layer, shares

HERE = recognise(ROOT)
MODULES = Modules(HERE.sources / HERE.package)
OUTER = (
    "<module> (/x/app/forestay/__main__.py)",
    "BaseEventLoop._run_once (/x/asyncio/base_events.py)",
)


@pytest.mark.parametrize(
    ("inner", "wanted"),
    [
        (["Delivery.deliver (/x/app/forestay/core/fanout/delivery.py)"], "core: delivery"),
        (["Delivery.deliver (/x/site-packages/forestay/core/fanout/delivery.py)"], "core: delivery"),
        (["V1Wire.message (/x/forestay/protocol/v1/wire.py)", "0x7f1a (/usr/lib/libpython3.11.so)"], "protocol"),
        (["decode (/x/msgspec/_core.cpython-311-x86_64-linux-gnu.so)"], "protocol"),
        (["CPyDef_dispatcher___Dispatcher___dispatch (/x/abc__mypyc.so)"], "core: sessions and rules"),
        (
            ["CPyDef_fanout___passes___Passes____run (build/__native.c)", "CPyDict_GetItem (/x/a.so)"],
            "core: delivery",
        ),
        (
            ["Transport.write (/x/asyncio/selector_events.py)", "send (/usr/lib/libc.so.6)"],
            "kernel: send",
        ),
        (["UVStream.write (/x/uvloop/loop.so)", "uv__write (/x/uvloop/loop.so)"], "event loop"),
        (["WebSocketReader_feed_data (/project/aiohttp/_websocket/reader_c.c)"], "aiohttp"),
        (["Counter.inc (/x/prometheus_client/metrics.py)"], "observers"),
    ],
)
def test_a_stack_belongs_to_its_innermost_known_frame(inner: list[str], wanted: str) -> None:
    """A library or the interpreter without a layer costs the layer that called it; a call of the kernel is its own."""
    assert layer([*OUTER, *inner], MODULES) == wanted
    assert wanted in LAYERS


@pytest.mark.parametrize(
    "wait",
    [
        ["PyThread_acquire_lock_timed (/x/python)", "0x7f (/x/libc.so)"],
        ["_queue_SimpleQueue_get_impl (/x/_queuemodule.c)", "0x7f (/x/libc.so)", "0x7e (/x/libc.so)"],
    ],
)
def test_a_thread_that_waits_costs_nothing(wait: list[str]) -> None:
    """A stack that ends in a lock is not counted, even where the sampler takes the thread for active."""
    waiting = ["_worker (/x/concurrent/futures/thread.py)", *wait]
    assert layer(waiting, MODULES) is None
    assert counted([";".join(waiting) + " 7\n", ";".join(OUTER) + " 3\n"], MODULES) == {"event loop": 3}


def test_the_kernel_s_account_divides_its_part_from_the_rest() -> None:
    """A process that waits for a core is sampled in its last call, and that must not count as CPU of the kernel."""
    found = shares({"kernel: send": 90, "kernel: receive": 10, "protocol": 30, "aiohttp": 10}, user=4.0, system=1.0)
    assert found["kernel: send"] == pytest.approx(0.9)
    assert found["protocol"] == pytest.approx(3.0)
    assert sum(found.values()) == pytest.approx(5.0)


def test_every_package_of_the_core_has_a_layer() -> None:
    """A new package there would vanish in `other`."""
    core = Path(HERE.sources, HERE.package, "core")
    for folder in (path for path in core.iterdir() if (path / "__init__.py").exists()):
        assert layer([f"call (/x/forestay/core/{folder.name}/module.py)"], MODULES) != "other"
