"""What stock Socket.IO clients see differently is on the page for those who move."""

from tests.socketio_peers.differences import rows, table
from tests.support.repository import ROOT


def test_the_page_has_the_table_of_the_differences() -> None:
    """The table is as `python -m tests.socketio_peers --table` prints it."""
    assert table(rows()) in (ROOT / "docs" / "from-socketio.md").read_text(encoding="utf-8")
