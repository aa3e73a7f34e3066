"""Rules for every test: no verdict depends on time, and every skipped test is named."""

import signal
from asyncio import AbstractEventLoop, new_event_loop
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from helm import rendering
from tests.support import browser
from tests.support.local_redis import QUICK, RedisServer
from tests.support.process import LOOP

# No deadline per example: a shared machine may pause, and pytest's timeout catches a test that hangs. Where CI is
# set, Hypothesis starts from its own profile, with the same examples on every run.
settings.register_profile("forestay", settings(), deadline=None)
settings.load_profile("forestay")


AGAIN = 30.0
"""Seconds between two timeouts of one test."""

SLOW: list[str] = []
"""Slow tests that were left out."""


if LOOP == "uvloop":
    import uvloop

    def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], AbstractEventLoop]]:
        """Runs the tests on uvloop, where FORESTAY_LOOP says so. Those in virtual time keep their own loop."""
        if item.get_closest_marker("stock_loop"):
            return {"asyncio": new_event_loop}
        both = {"asyncio": new_event_loop} if item.get_closest_marker("both_loops") else {}
        return {"uvloop": uvloop.new_event_loop} | both


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gateways of `serve --dev` keep their keys in a folder of these tests, and not in that of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_helm() -> Iterator[None]:
    """All tests that render the chart share a process with Helm's library, which ends with them."""
    yield
    rendering.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium, for `executable_path`."""
    path = browser.chromium()
    if path is None:
        pytest.skip("no Chromium on PATH, and CHROMIUM names none")
    return path


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis that tests share, each with its own prefix."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), *QUICK)
    server.start()
    yield server
    server.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone, which it may freeze, fill and kill. It keeps nothing over a restart."""
    server = RedisServer(tmp_path / "redis", "--save", "")
    server.start()
    yield server
    server.close()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, object, object]:
    """Lets a timeout come again: a loop goes on after one that was raised in a callback, and the test would hang."""
    done = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN)
    return done


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    SLOW.extend(item.nodeid for item in items if item.get_closest_marker("slow"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names every test that did not run and the reason, and says so if there is none."""
    stats = terminalreporter.stats
    skipped = [
        *stats.get("skipped", []),
        *(report for report in stats.get("xfailed", []) if "[NOTRUN]" in report.wasxfail),
    ]
    terminalreporter.section("not run here")
    if not skipped and not SLOW:
        terminalreporter.line("not run here: nothing")
        return
    terminalreporter.line("not run here:")
    for slow in SLOW:
        terminalreporter.line(f"  {slow}: slow, run by make test-slow")
    for (file, reason), number in Counter(
        (report.nodeid.partition("::")[0], _reason(report)) for report in skipped
    ).items():
        terminalreporter.line(f"  {file}, {number} test{'s' if number > 1 else ''}: {reason}")


def _reason(report: pytest.TestReport) -> str:
    # An expected failure can also be marked as not run. A skip is (file, line, "Skipped: reason").
    text = report.wasxfail if hasattr(report, "wasxfail") else report.longrepr
    return str(text[2] if isinstance(text, tuple) else text).removeprefix("Skipped: ").replace("[NOTRUN] ", "")
