"""The timestamps of messages are read as any other reader of RFC 3339 reads them."""

from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.timestamps import StampReader, timestamp, unix_seconds

DAY = 86_400_000
STAMPS = st.one_of(
    st.integers(0, 253_402_300_799_999).map(timestamp),
    # Few seconds, so that many follow on one of the same second.
    st.integers(20_000 * DAY, 20_000 * DAY + 3_000).map(timestamp),
    st.builds(
        "{}{}".format,
        st.sampled_from(["2024-10-04T00:00:00.", "2024-10-04T00:00:01.", "2024-10-04T00:00:60.", "", "none"]),
        st.sampled_from(
            ["000Z", "12Z", "1234Z", "+12Z", "1_2Z", " 12Z", "12\N{SUPERSCRIPT TWO}Z", "123", "123+01:00", "Z"]
        )
        | st.text("0123456789Z ", max_size=5),
    ),
    st.text(max_size=30),
)


@given(st.lists(STAMPS))
def test_what_was_read_before_changes_nothing(stamps: list[str]) -> None:
    """A reader that keeps the last second returns for each text what reading it alone returns."""
    reader = StampReader()
    assert [reader.unix_seconds(each) for each in stamps] == [unix_seconds(each) for each in stamps]
