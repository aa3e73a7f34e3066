"""What holds for every test: time is not a verdict, and nothing is skipped in silence."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import settings

from tests.support import browser
from tests.support.local_redis import QUICK, RedisServer

# A shared machine may pause for longer than any example should take; pytest's timeout catches what hangs. Where CI is
# set, Hypothesis starts from its own profile: the same examples on every run.
settings.register_profile("forestay", settings(), deadline=None)
settings.load_profile("forestay")


SLOW: list[str] = []
"""Tests that were left out because they take long."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium, for `executable_path`."""
    path = browser.chromium()
    if path is None:
        pytest.skip("no Chromium on PATH, and CHROMIUM names none")
    return path


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis that tests share, each under a prefix of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), *QUICK)
    server.start()
    yield server
    server.close()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    SLOW.extend(item.nodeid for item in items if item.get_closest_marker("slow"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names every test that did not run here and why, and says so when there is none: silence would prove nothing."""
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
    # A test that is expected to fail may say not to run it at all; a skip is (file, line, "Skipped: reason").
    text = report.wasxfail if hasattr(report, "wasxfail") else report.longrepr
    return str(text[2] if isinstance(text, tuple) else text).removeprefix("Skipped: ").replace("[NOTRUN] ", "")
