"""The event loop that FORESTAY_LOOP chooses."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from forestay.pod.event_loops import choose
from forestay.settings.surroundings import Loop
from tests.support.exposition import scrape
from tests.support.gateway import Client, token
from tests.support.process import KEYS, serving

_WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from forestay.cli import main; main()"


@pytest.mark.parametrize(("loop", "made"), [("auto", uvloop.Loop), ("uvloop", uvloop.Loop)])
def test_uvloop_is_chosen_where_it_is_installed(loop: Loop, made: type[asyncio.AbstractEventLoop]) -> None:
    """`auto` and `uvloop` are uvloop where it is installed."""
    new = choose(loop)()
    assert isinstance(new, made)
    new.close()


@pytest.mark.parametrize(("loop", "missing"), [("asyncio", False), ("asyncio", True), ("auto", True)])
def test_asyncio_is_chosen_where_it_is_asked_for_or_alone(
    loop: Loop, *, missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asyncio` never loads uvloop, and `auto` does without it where it is not installed."""
    if missing:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    new = choose(loop)()
    assert isinstance(new, asyncio.BaseEventLoop)
    new.close()


def test_an_old_uvloop_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of uvloop that keeps writes back is taken for none, and named where uvloop is demanded."""
    monkeypatch.setattr(uvloop, "__version__", "0.22.1")
    new = choose("auto")()
    assert isinstance(new, asyncio.BaseEventLoop)
    new.close()
    with pytest.raises(ValueError, match=r"cannot be used \(uvloop 0.22.1 is too old\)"):
        choose("uvloop")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_only_what_the_kernel_has_not_taken_waits(loop: Loop) -> None:
    """Right after a write that the kernel took nothing waits, and later exactly what it did not take."""
    with asyncio.Runner(loop_factory=choose(loop)) as runner:
        runner.run(_write_and_look())


async def _write_and_look() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        # As the gateway sets it: the default of uvloop's lower mark is not asyncio's.
        transport.set_write_buffer_limits(1 << 20, 1 << 19)
        transport.write(b"1")
        assert transport.get_write_buffer_size() == 0
        written = 1
        while not transport.get_write_buffer_size():
            transport.write(bytes(65536))
            written += 65536
        waiting = transport.get_write_buffer_size()
        transport.write(b"23")
        assert transport.get_write_buffer_size() == waiting + 2
        theirs.settimeout(0)
        taken = 0
        while taken < written - waiting:
            taken += len(theirs.recv(1 << 20))
        assert taken == written - waiting
        transport.abort()


@pytest.mark.parametrize("command", ["serve", "check"])
def test_uvloop_that_is_missing_ends_the_start(command: str) -> None:
    """Where uvloop is demanded and not installed, `serve` and `check` say so and exit with 2."""
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT_UVLOOP, command],
        env=KEYS | {"FORESTAY_LOOP": "uvloop"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 2
    assert "FORESTAY_LOOP is uvloop, which cannot be used" in ran.stderr
    assert "install forestay[uvloop], or set it to auto or asyncio" in ran.stderr


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_the_log_and_the_metrics_name_the_loop(loop: str) -> None:
    """The log line `ready` and a metric say which loop runs. Durations have no steps of a millisecond on either."""
    async with serving(FORESTAY_LOOP=loop) as served:
        (ready,) = [line for line in map(json.loads, served.log.splitlines()) if line["event"] == "ready"]
        assert ready["loop"] == loop
        client = await served.pod.join("ada", "room")
        await client.say({"type": "broadcast", "room": "room", "payload": 1})
        await client.hear("broadcast")
        found = await scrape(served.internal_port)
        assert found[f'forestay_event_loop_info{{loop="{loop}"}}'] == 1
        for name in ("forestay_delivery_pass_seconds_sum", "forestay_delivery_wait_seconds_sum"):
            assert found[name] * 1000 % 1 > 0


_STUBBORN = """
import asyncio, time
from forestay.hooks import Allow

async def connect(event):
    while event.user == "task":
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    await asyncio.to_thread(time.sleep, 3600)
    return Allow()
"""


@pytest.mark.parametrize("stubborn", ["task", "thread"])
async def test_a_process_ends_though_a_hook_does_not(stubborn: str, tmp_path: Path) -> None:
    """A hook that swallows its cancellation, and one that waits for a thread, do not outlive the pod."""
    (tmp_path / "stubborn.py").write_text(_STUBBORN)
    module = str(tmp_path / "stubborn.py")
    async with serving(FORESTAY_HOOKS_MODULE=module, FORESTAY_HOOKS_TIMEOUT="0.2", FORESTAY_DRAIN_WINDOW="0") as pod:
        client = await Client.open_or_refused(pod.port, token(stubborn))
        assert client.status == 503
        assert await pod.end() == 0
        assert "process ended, though a task or a thread still ran" in pod.log
