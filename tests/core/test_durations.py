"""Durations as people write them."""

import pytest

from forestay.core.rules.durations import parse_duration
from forestay.core.rules.policies import parse_policy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("0.25", 0.25),
        (".5", 0.5),
        ("1e3", 1000),
        ("500ms", 0.5),
        ("0.1s", 0.1),
        ("1.1s", 1.1),
        ("30s", 30),
        ("5m", 300),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1d2h3m4s5ms", 93784.005),
        ("7D", 604800),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """A number is seconds; numbers with units are added."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "30 s",
        "1 h",
        "5min",
        "-1",
        "-5m",
        "1h1h",
        "1m1h",
        "1h30",
        "inf",
        "nan",
        "1e999",
        "9" * 400,
        "9" * 400 + "d",
        "1_0",
        "٣s",
        "1s\n",
        "1,5s",
        "1" * 5_000 + "!",
        "1h" * 5_000 + "!",
        "1.1" * 5_000,
    ],
    ids=lambda text: text[:9],
)
def test_other_texts_are_refused(text: str) -> None:
    """What is no duration is an error with the forms that there are."""
    with pytest.raises(ValueError, match="write it like 500ms, 30s, 5m, 1h30m or 7d"):
        parse_duration(text)


def test_a_history_is_kept_for_a_duration() -> None:
    """The `ttl` of a room's history is seconds, or a duration with units; an error repeats what was written."""

    def kept(ttl: object) -> float:
        history = parse_policy({"pattern": "a", "history": {"size": 1, "ttl": ttl}}).history
        assert history is not None
        return history.ttl

    assert kept("10m") == kept(600) == 600
    for wrong, why in [
        ("10 min", "'10 min': not a duration"),
        ("31d", "at most 2592000 seconds"),
        ("0s", "more than 0"),
    ]:
        with pytest.raises(ValueError, match=why):
            kept(wrong)
