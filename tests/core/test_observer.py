"""Several who want to know are told as one."""

from collections.abc import Sequence

from forestay.core.ports.observer import Arrival, Observer, together


class Scribe(Observer):
    """Wants to know two facts."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines

    def slow(self, policy: str) -> None:
        self._lines.append(f"{self._name}: slow {policy}")

    def ended(self, code: int, seconds: float, *, by_client: bool) -> None:
        self._lines.append(f"{self._name}: ended {code} {seconds} {by_client}")


class Miser(Observer):
    """Wants to know one of them."""

    def __init__(self) -> None:
        self.slow_ones = 0

    def slow(self, policy: str) -> None:
        self.slow_ones += 1


def test_each_fact_reaches_everybody_who_wants_it() -> None:
    """In the order in which they were given, with all that belongs to it."""
    lines: list[str] = []
    miser = Miser()
    all_of_them = together(Scribe("a", lines), miser, Scribe("b", lines))
    all_of_them.slow("disconnect")
    all_of_them.ended(1000, 2.5, by_client=True)
    assert lines == ["a: slow disconnect", "b: slow disconnect", "a: ended 1000 2.5 True", "b: ended 1000 2.5 True"]
    assert miser.slow_ones == 1


def test_a_fact_that_one_wants_is_told_to_that_one_alone() -> None:
    """It costs what it costs with one observer: it happens for every message."""
    scribe = Scribe("a", [])
    assert together(Miser(), scribe).ended == scribe.ended


def test_a_fact_that_nobody_wants_is_nothing() -> None:
    """Observers say only what they care about."""
    arrivals: Sequence[Arrival] = []
    together(Miser()).written(arrivals, 1.0, 2.0)
