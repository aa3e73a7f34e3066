"""What a pod has in hand: batches that are sent, fresh ones, and those that wait to be sent again."""

from collections import deque
from collections.abc import Iterable

from forestay.outbound.webhooks.batch import Batch


class Hand:
    """The batches of one pod, each in one of three places."""

    def __init__(self) -> None:
        self.fresh: deque[Batch] = deque()
        """Taken, and not sent yet."""
        self._delayed: list[Batch] = []
        """Sent in vain, and sent again when they are due."""
        self.sending: dict[int, Batch] = {}
        """Under way, by their identity."""
        self._fresh_next = True

    @property
    def handles(self) -> list[str]:
        """The handles of all events."""
        return _handles((*self.sending.values(), *self.fresh, *self._delayed))

    def next(self, now: float) -> Batch | None:
        """The batch that is sent next. Fresh ones and those that are due take turns, so that neither waits for ever."""
        due = min((one for one in self._delayed if one.due <= now), key=lambda one: one.due, default=None)
        if self.fresh and (due is None or self._fresh_next):
            self._fresh_next = False
            return self.fresh.popleft()
        self._fresh_next = True
        if due is not None:
            self._delayed.remove(due)
        return due

    def next_due(self, rest_until: float) -> float | None:
        """When the next batch may be sent, while nothing is sent before `rest_until`; None where there is none."""
        times = [one.due for one in self._delayed]
        if self.fresh:
            times.append(0.0)
        return max(rest_until, min(times)) if times else None

    def delay(self, batch: Batch, due: float) -> None:
        """Send `batch` again when it is `due`."""
        batch.due = due
        self._delayed.append(batch)

    def drop_waiting(self) -> list[str]:
        """Forget what is not under way. Returns the handles of its events."""
        waiting = _handles((*self.fresh, *self._delayed))
        self.fresh.clear()
        self._delayed.clear()
        return waiting


def _handles(found: Iterable[Batch]) -> list[str]:
    return [handle for one in found for handle in one.handles]
