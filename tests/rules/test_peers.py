"""The page about the servers of others shows the results of the bench and nothing else."""

from bench.peers.page import PAGE, page


def test_the_page_is_what_the_results_say() -> None:
    """The page is as `python -m bench.peers.page` writes it from the results."""
    assert PAGE.read_text(encoding="utf-8") == page()
