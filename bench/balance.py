"""How long the pods take to get their balance back, and how often each client moves, on a virtual clock.

Fifty pods and a hundred thousand clients, through a rolling update, a scale-up, a scale-in and a lost node; behind a
load balancer that chooses at random, or the pod with the fewest. The pods decide with the gateway's own code: the slots
of the drain, the excess and its immunity. The random numbers are seeded, so each machine gets the same result.
"""

import argparse
import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from forestay.ops.moves.drain import slots
from forestay.ops.moves.shedding import IMMUNE, INTERVAL, View, excess

PLACES: Final = 10_000
WINDOW: Final = 30.0
REPORT: Final = Path("dist/bench")
BALANCED: Final = 0.1
"""The pods are balanced when none is further from the mean than this."""


@dataclass(slots=True)
class Pod:
    """Its clients, with the time when each of them came."""

    clients: dict[int, float] = field(default_factory=dict)
    leaving: bool = False
    begun: bool = False
    """Whether it asked clients to move in the last interval."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The mechanisms that move connections."""

    name: str
    shed: bool = False
    age: float = 0.0


@dataclass(slots=True)
class Outcome:
    """The result of one scenario."""

    spread: list[tuple[float, float, float]] = field(default_factory=list)
    """Seconds, emptiest and fullest pod by the mean."""
    moves: Counter[int] = field(default_factory=Counter)
    """The number of moves of each client."""
    soonest: float = float("inf")
    """The least seconds between two moves of one client by shedding."""
    balanced_at: float | None = None
    excess: int = 0
    """Connections above the mean when the scenario had ended and balancing began."""
    shed: int = 0


class Fleet:
    """Pods and clients; time goes in steps of the shedding's interval."""

    def __init__(self, pods: int, clients: int, rules: Rules, *, least: bool, seed: int = 1) -> None:
        self.rng = Random(seed)
        self.rules = rules
        self.now = 0.0
        self.pods = [Pod() for _ in range(pods)]
        self.outcome = Outcome()
        self._least = least
        self._changed = -1e9
        self._due: list[tuple[float, int]] = []
        """When a client connects again."""
        self._old: list[tuple[float, int, float]] = []
        """When a client's connection gets old, and that connection."""
        self._at: dict[int, Pod] = {}
        self._shed_at: dict[int, float] = {}
        for client in range(clients):
            self._enter(client, -self.rng.uniform(0, rules.age or 1) - IMMUNE)

    def _enter(self, client: int, since: float) -> None:
        open_pods = [pod for pod in self.pods if not pod.leaving]
        pod = min(open_pods, key=lambda one: len(one.clients)) if self._least else self.rng.choice(open_pods)
        pod.clients[client] = since
        self._at[client] = pod
        if self.rules.age:
            stay = self.rules.age * self.rng.uniform(0.9, 1.1)
            heapq.heappush(self._old, (max(since + stay, self.now + self.rng.uniform(0, 60)), client, since))

    def _leave(self, client: int, at: float) -> None:
        del self._at[client].clients[client]
        self.outcome.moves[client] += 1
        heapq.heappush(self._due, (at, client))

    def step(self) -> None:
        """Simulate one interval."""
        self.now += INTERVAL
        while self._old and self._old[0][0] <= self.now:
            _, client, since = heapq.heappop(self._old)
            if self._at[client].clients.get(client) == since:
                self._leave(client, self.now)
        while self._due and self._due[0][0] <= self.now:
            at, client = heapq.heappop(self._due)
            self._enter(client, at)
        if self.rules.shed:
            self._shed()
        gone = [pod for pod in self.pods if pod.leaving and not pod.clients]
        if gone:
            self.pods = [pod for pod in self.pods if pod not in gone]
            self._changed = self.now
        here = [len(pod.clients) for pod in self.pods if not pod.leaving]
        mean = sum(here) / len(here)
        self.outcome.spread.append((self.now, min(here) / mean, max(here) / mean))

    def _shed(self) -> None:
        staying = [pod for pod in self.pods if not pod.leaving]
        everybody = sum(len(pod.clients) for pod in self.pods)
        for pod in staying:
            view = View(
                mine=len(pod.clients),
                all=everybody,
                pods=len(staying),
                places=PLACES,
                settled=self.now - self._changed,
                leaving=len(staying) < len(self.pods),
                well=True,
            )
            number = excess(view, begun=pod.begun)
            pod.begun = number > 0
            if not number:
                continue
            movable = [client for client, since in pod.clients.items() if self.now - since >= IMMUNE]
            chosen = self.rng.sample(movable, min(number, len(movable)))
            for client, after in zip(chosen, slots(len(chosen), INTERVAL, self.rng), strict=True):
                last = self._shed_at.get(client, float("-inf"))
                self.outcome.soonest = min(self.outcome.soonest, self.now - last)
                self._shed_at[client] = self.now
                self._leave(client, self.now + after)
            self.outcome.shed += len(chosen)

    def add(self, number: int) -> None:
        """Add `number` new pods that are ready."""
        self.pods += [Pod() for _ in range(number)]
        self._changed = self.now

    def drain(self, pods: list[Pod]) -> None:
        """Drain these pods; their clients connect again in their slots."""
        for pod in pods:
            pod.leaving = True
            for client, after in zip(list(pod.clients), slots(len(pod.clients), WINDOW, self.rng), strict=True):
                self._leave(client, self.now + after)
        self._changed = self.now

    def lose(self, pods: list[Pod]) -> None:
        """Kill these pods; their clients connect again within two seconds."""
        for pod in pods:
            for client in list(pod.clients):
                self._leave(client, self.now + self.rng.uniform(0, 2))
            self.pods.remove(pod)
        self._changed = self.now


def rolling(fleet: Fleet) -> None:
    """Replace all pods at once: the new ones start beside the old ones."""
    old = list(fleet.pods)
    fleet.add(len(old))
    fleet.drain(old)


def one_by_one(fleet: Fleet) -> None:
    """Replace all pods one after the other, as a surge of 1 does."""
    for pod in list(fleet.pods):
        fleet.add(1)
        fleet.drain([pod])
        for _ in range(4):
            fleet.step()


def scale_up(fleet: Fleet) -> None:
    """Add half as many pods as there are."""
    fleet.add(len(fleet.pods) // 2)


def scale_in(fleet: Fleet) -> None:
    """Drain a tenth of the pods, one after the other."""
    for pod in fleet.pods[: max(1, len(fleet.pods) // 10)]:
        fleet.drain([pod])
        for _ in range(12):
            fleet.step()


def lost_node(fleet: Fleet) -> None:
    """Kill a tenth of the pods, and start as many after a minute."""
    number = max(1, len(fleet.pods) // 10)
    fleet.lose(fleet.pods[:number])
    for _ in range(6):
        fleet.step()
    fleet.add(number)


STORIES: Final[dict[str, Callable[[Fleet], None]]] = {
    "rolling update": rolling,
    "one by one": one_by_one,
    "scale-up": scale_up,
    "scale-in": scale_in,
    "lost node": lost_node,
}
RULES: Final = (Rules("nothing"), Rules("age of 4 h", age=4 * 3600), Rules("shedding", shed=True))


def play(fleet: Fleet, story: Callable[[Fleet], None], hours: float) -> Outcome:
    """Play a scenario, and simulate the pods for `hours`."""
    story(fleet)
    told = fleet.now
    outcome = fleet.outcome
    here = [len(pod.clients) for pod in fleet.pods if not pod.leaving]
    mean = sum(here) / len(here)
    outcome.excess = sum(max(0, round(number - mean)) for number in here)
    while fleet.now < told + hours * 3600:
        fleet.step()
        _, emptiest, fullest = outcome.spread[-1]
        # Random choice alone spreads connections: for a moment one pod in fifty is that far from the mean.
        if emptiest < 1 - BALANCED or fullest > 1 + BALANCED + 0.02:
            outcome.balanced_at = None
        elif outcome.balanced_at is None:
            outcome.balanced_at = fleet.now - told
    return outcome


def main() -> None:
    """Print a line for each scenario and rule, and draw the spread of the pods."""
    parser = argparse.ArgumentParser(prog="python -m bench balance", description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=5)
    options = parser.parse_args()
    REPORT.mkdir(parents=True, exist_ok=True)
    print(
        "story, load balancer, rule: balanced after; emptiest and fullest pod by the mean in the end; moves per client"
    )
    for name, story in STORIES.items():
        drawn: list[tuple[str, Outcome]] = []
        for least in (False, True):
            for rules in RULES:
                fleet = Fleet(options.pods, options.clients, rules, least=least)
                outcome = play(fleet, story, options.hours)
                balancer = "fewest" if least else "random"
                print(f"{name:<15} {balancer:<7} {rules.name:<11} {_line(outcome, options.clients)}", flush=True)
                if not least:
                    drawn.append((rules.name, outcome))
        (REPORT / f"balance-{name.replace(' ', '-')}.svg").write_text(_drawing(name, drawn))
    print(f"drawings: {REPORT}")


def _line(outcome: Outcome, clients: int) -> str:
    _, emptiest, fullest = outcome.spread[-1]
    moves, most = sum(outcome.moves.values()) / clients, max(outcome.moves.values(), default=0)
    when = "never" if outcome.balanced_at is None else f"{outcome.balanced_at / 60:.0f} min"
    shed = f", shed {outcome.shed / outcome.excess:.2f} of the excess" if outcome.shed and outcome.excess else ""
    return f"{when:>8}; {emptiest:.2f} {fullest:.2f}; {moves:.2f} on average, {most} at most{shed}"


def _drawing(name: str, drawn: list[tuple[str, Outcome]]) -> str:
    width, height, margin = 720, 260, 40
    last = max(outcome.spread[-1][0] for _, outcome in drawn)
    most = max(fullest for _, outcome in drawn for _, _, fullest in outcome.spread)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-size="11">',
        f'<text x="{margin}" y="16">{name}: emptiest and fullest pod by the mean, over {last / 3600:.1f} h</text>',
    ]
    for number, ((rule, outcome), colour) in enumerate(zip(drawn, ("gray", "steelblue", "crimson"), strict=False)):
        for which in (1, 2):
            points = " ".join(
                f"{margin + at[0] / last * (width - 2 * margin):.1f},"
                f"{height - margin - at[which] / most * (height - 2 * margin):.1f}"
                for at in outcome.spread[:: max(1, len(outcome.spread) // 600)]
            )
            lines.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>')
        lines.append(f'<text x="{margin + 150 * number}" y="{height - 10}" fill="{colour}">{rule}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    main()
