"""Runs a hook, at once or as a task, and tells what it returned or raised."""

import asyncio
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from forestay.core.ports.hooks import HookFailed

Start: TypeAlias = Callable[[AbstractEventLoop, Coroutine[object, object, object]], Task[object]]
"""Makes the task of a hook."""


def start_later(loop: AbstractEventLoop, hook: Coroutine[object, object, object]) -> Task[object]:
    return loop.create_task(hook)


def run_at_once(hook: Coroutine[object, object, object]) -> tuple[object, BaseException | None]:
    """Run a hook that never waits. What it returned, or what it raised."""
    try:
        hook.send(None)
    except StopIteration as done:
        return done.value, None
    except (HookFailed, asyncio.CancelledError, GeneratorExit) as error:
        return None, error
    hook.close()
    return None, HookFailed("raised", "the hook waits for something")


def outcome(task: Task[object]) -> tuple[object, BaseException | None]:
    """What a hook that has ended returned, or what it raised."""
    if task.cancelled():
        return None, asyncio.CancelledError()
    error = task.exception()
    return (None, error) if error is not None else (task.result(), None)
