"""Says what the settings of time mean together: how long a drain takes, and when a silent client is noticed."""

from collections.abc import Sequence

from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings


def explain_drain(settings: Settings) -> Sequence[str]:
    """Lines for an operator: the parts of the drain's time, and what the grace period must be."""
    window, closing, flush = settings.drain_window, settings.close_timeout, settings.flush_timeout
    budget, deadline = settings.drain_budget, settings.drain_deadline
    lines = [
        f"drain budget: {budget:g} s = window {window:g} + close {closing:g} + flush {flush:g}, from SIGTERM to exit",
        f"set the grace period to at least {budget if deadline is None else deadline:g} s plus the preStop hook",
    ]
    if deadline is not None and deadline < budget:
        name = variable_of("drain_deadline")
        lines.append(f"warning: {name} ({deadline:g} s) is less than that: the window is shortened")
    return lines


def slow_answers(settings: Settings) -> Sequence[str]:
    """One line for each time to answer a ping that is longer than the interval between pings."""
    timeouts = {"pong_timeout": settings.pong_timeout}
    if settings.socketio:
        timeouts["socketio_ping_timeout"] = settings.socketio_ping_timeout
    interval, ours = settings.ping_interval, variable_of("ping_interval")
    return [
        f"{variable_of(name)} ({timeout:g} s) is longer than {ours} ({interval:g} s): pings come every {interval:g} s "
        f"all the same, and a client that is gone is noticed only {timeout:g} s after the first one that it does not "
        f"answer; to notice it sooner, set {variable_of(name)} to {interval:g} or less"
        for name, timeout in timeouts.items()
        if timeout > interval
    ]
