"""Several observers are combined into one."""

from forestay.core.ports.observer import Client, Observer, together
from forestay.protocol.codes import Ending

ALICE = Client("c1", "alice", "v1")


class TwoFacts(Observer):
    """Observes two facts."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines

    def slow(self, policy: str, client: Client) -> None:
        self._lines.append(f"{self._name}: slow {policy}")

    def ended(self, client: Client, ending: Ending, seconds: float) -> None:
        self._lines.append(f"{self._name}: ended {client.user} {ending.code} {seconds}")


class OneFact(Observer):
    """Observes one of them."""

    def __init__(self) -> None:
        self.slow_ones = 0

    def slow(self, policy: str, client: Client) -> None:
        self.slow_ones += 1


def test_each_fact_reaches_each_observer_that_handles_it() -> None:
    """Observers are called in the order in which they were given, with the same arguments."""
    lines: list[str] = []
    one_fact = OneFact()
    all_of_them = together(TwoFacts("a", lines), one_fact, TwoFacts("b", lines))
    all_of_them.slow("disconnect", ALICE)
    all_of_them.ended(ALICE, Ending(1000, "bye"), 2.5)
    assert lines == ["a: slow disconnect", "b: slow disconnect", "a: ended alice 1000 2.5", "b: ended alice 1000 2.5"]
    assert one_fact.slow_ones == 1


def test_a_fact_that_one_observer_handles_goes_to_it_directly() -> None:
    """The combined method is the method of that observer, without a call in between."""
    two_facts = TwoFacts("a", [])
    assert together(OneFact(), two_facts).ended == two_facts.ended


def test_a_fact_that_no_observer_handles_is_ignored() -> None:
    """A fact that no observer handles is ignored."""
    together(OneFact()).key_refused("missing")
