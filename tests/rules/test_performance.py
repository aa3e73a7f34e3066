"""The page of figures says what the benches found, and nothing else."""

from bench.page import PAGE, page


def test_the_page_is_what_the_results_say() -> None:
    """Run `python -m bench.page` after a bench."""
    assert PAGE.read_text(encoding="utf-8") == page()
