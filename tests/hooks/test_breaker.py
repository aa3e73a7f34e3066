"""The circuit breaker: when it opens, what it lets through, and when it closes."""

import pytest

from forestay.outbound.hooks.breaker import FIRST_REST, LONGEST_REST, THRESHOLD, Attempt, Breaker, State


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, lambda _low, high: high)


def begin(breaker: Breaker) -> Attempt:
    attempt = breaker.begin()
    assert attempt is not None
    return attempt


def is_open(breaker: Breaker) -> bool:
    return breaker.state is State.OPEN


def open_it(breaker: Breaker) -> None:
    for _ in range(THRESHOLD):
        breaker.failed(begin(breaker))
    assert is_open(breaker)


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """The fifth one does, says so, and then nothing is asked."""
    opened = [breaker.failed(begin(breaker)) for _ in range(THRESHOLD)]
    assert opened == [False] * (THRESHOLD - 1) + [True]
    assert (breaker.state, breaker.begin()) == (State.OPEN, None)


def test_an_answer_ends_the_row(breaker: Breaker) -> None:
    """Four failures, an answer and four failures leave it closed."""
    for _ in range(2):
        for _ in range(THRESHOLD - 1):
            breaker.failed(begin(breaker))
        breaker.answered(begin(breaker))
    assert breaker.state is State.CLOSED


def test_one_user_does_not_open_it(breaker: Breaker) -> None:
    """Failures that a question may have caused count once for each user."""
    for _ in range(100):
        breaker.failed(begin(breaker), "mallory")
    assert breaker.state is State.CLOSED
    for number in range(THRESHOLD - 1):
        breaker.failed(begin(breaker), f"user {number}")
    assert is_open(breaker)


def test_slow_questions_do_not_open_it_while_others_are_answered(breaker: Breaker) -> None:
    """A failure does not count where another question was answered while it was under way."""
    slow = [begin(breaker) for _ in range(100)]
    breaker.answered(begin(breaker))
    for attempt in slow:
        breaker.failed(attempt)
    assert breaker.state is State.CLOSED


def test_after_a_rest_one_question_is_a_trial(breaker: Breaker, clock: Clock) -> None:
    """Others are not asked meanwhile. Its answer closes the breaker."""
    open_it(breaker)
    clock.now = FIRST_REST - 0.01
    assert breaker.begin() is None
    clock.now = FIRST_REST
    trial = begin(breaker)
    assert (trial.trial, breaker.state, breaker.begin()) == (True, State.HALF_OPEN, None)
    breaker.answered(trial)
    assert breaker.state is State.CLOSED
    assert [begin(breaker).trial for _ in range(3)] == [False] * 3


def test_a_trial_that_fails_doubles_the_rest(breaker: Breaker, clock: Clock) -> None:
    """Up to ten seconds; after an answer the next rest is short again."""
    open_it(breaker)
    rests: list[float] = []
    for _ in range(6):
        started = clock.now
        while (trial := breaker.begin()) is None:
            clock.now += 0.5
        rests.append(clock.now - started)
        breaker.failed(trial)
    assert rests == [1, 2, 4, 8, LONGEST_REST, LONGEST_REST]
    clock.now += LONGEST_REST
    breaker.answered(begin(breaker))
    open_it(breaker)
    clock.now += FIRST_REST
    assert begin(breaker).trial


def test_a_trial_that_is_given_up_leaves_the_next_question_to_be_one(breaker: Breaker, clock: Clock) -> None:
    """A client that goes meanwhile must not leave the breaker half open for ever."""
    open_it(breaker)
    clock.now = FIRST_REST
    breaker.given_up(begin(breaker), patience=2)
    assert begin(breaker).trial


def test_giving_up_counts_when_the_time_is_over(breaker: Breaker, clock: Clock) -> None:
    """Clients that go early say nothing about the receiver; those that waited for all of the time do."""
    for _ in range(100):
        breaker.given_up(begin(breaker), patience=2)
    assert breaker.state is State.CLOSED
    waiting = [begin(breaker) for _ in range(THRESHOLD)]
    clock.now = 2.0
    assert [breaker.given_up(attempt, patience=2) for attempt in waiting][-1]
    assert is_open(breaker)


def test_late_failures_do_not_move_an_open_breaker(breaker: Breaker, clock: Clock) -> None:
    """Questions that were under way when it opened change nothing."""
    late = [begin(breaker) for _ in range(3)]
    open_it(breaker)
    breaker.failed(late[0])
    breaker.given_up(late[1], patience=0)
    breaker.answered(late[2])
    assert is_open(breaker)
    clock.now = FIRST_REST
    assert begin(breaker).trial


def test_only_moves_of_the_table_are_made(breaker: Breaker) -> None:
    """A trial that has ended twice is a bug, and raises."""
    open_it(breaker)
    with pytest.raises(RuntimeError, match="open cannot become closed"):
        breaker.answered(Attempt(0, 0, trial=True))
