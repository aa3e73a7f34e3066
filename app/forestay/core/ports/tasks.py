"""The Tasks port: runs work in the background and reports what fails."""

from asyncio import Task
from collections.abc import Callable, Coroutine
from typing import Final, Literal, Protocol, get_args

TaskName = Literal[
    "api_keys",
    "balance",
    "drain",
    "heartbeat",
    "jwks_renewal",
    "kubernetes_events",
    "kubernetes_watch",
    "loop_lag",
    "rates",
    "readiness",
    "recovery_checks",
    "recovery_repair",
    "redis_discovery",
    "redis_link",
    "redis_node_close",
    "webhooks_look",
    "webhooks_request",
    "webhooks_send",
    "webhooks_take",
]
"""Every name that a task may have. The set is closed, because a name is the label of a metric."""

NAMES: Final[tuple[TaskName, ...]] = get_args(TaskName)


class Tasks(Protocol):
    """Runs tasks by name. A failure is logged with its traceback, counted by name, and makes the pod not ready.

    Several tasks may have one name, such as one for each Redis node. Cancelling the returned task ends the work, which
    is not a failure. A CancelledError that the work raises without being cancelled is one. The work runs in an empty
    context, because it outlives the request that started it.

    Both methods need a running loop.
    """

    def keep(
        self, name: TaskName, work: Callable[[], Coroutine[object, object, None]], *, restart: bool = True
    ) -> Task[None]:
        """Run `work()` until the returned task is cancelled. Both an exception and a return are failures.

        `restart`: call `work` again after a failure, with back-off. The work must be safe to start again. Without it
        the pod stays not ready.
        """

    def once(self, name: TaskName, work: Coroutine[object, object, None]) -> Task[None]:
        """Run `work` to its end. Only an exception is a failure; it makes the pod not ready for a while.

        For work of the pod. Work for one client does not belong here: its failure should end that connection, because
        a client that finds a bug must not be able to close the pod.
        """
