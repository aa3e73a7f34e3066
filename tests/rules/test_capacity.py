"""The page about capacity shows the results of the bench and nothing else."""

from bench.capacity_page import PAGE, page


def test_the_page_is_what_the_results_say() -> None:
    """The page is as `python -m bench.capacity_page` writes it from the results."""
    assert PAGE.read_text(encoding="utf-8") == page()
