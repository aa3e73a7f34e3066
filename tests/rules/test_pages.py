"""Each page says at its beginning what it is for and for whom, and its lines are short enough to be compared."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.site.pages import names
from tests.support.repository import ROOT

WIDTH = 120
WORDS = 45
# A decision has the parts that docs/adr/README.md asks for.
RECORD = "docs/adr/0"
PAGES = [name for name in names() if not name.startswith(RECORD)]
# What a first sentence about the readers has: "for developers of a backend", "for whoever measures".
READERS = re.compile(
    r"\bfor (?:[\w'-]+ ){0,3}?(?:authors|contributors|developers|everybody|operators|people|readers|reviewers|teams"
    r"|everyone|those who|whoever|who|every reader)\b"
)
FENCE = re.compile(r"^\s*(```+|~~~+)")
# A table's row and a picture cannot be wrapped.
UNWRAPPED = re.compile(r"\s*(?:\||!\[)")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_first_what_it_is_for(page: str) -> None:
    """Below its title a page has prose, and one of its first three sentences names its readers."""
    title, _, rest = (ROOT / page).read_text(encoding="utf-8").partition("\n")
    assert title.startswith("# ")
    lead = " ".join(_paragraphs(rest))
    # A sentence ends where a capital letter follows.
    sentences = re.split(r"(?<=[.:])\s+(?=[A-Z`\[])", lead)
    assert READERS.search(" ".join(sentences[:3])), f"{page} does not say for whom it is: {sentences[:3]}"


@pytest.mark.parametrize("page", names())
def test_lines_are_wrapped(page: str) -> None:
    """No line of prose is longer than 120 characters, but one that has a single link."""
    long = [f"{page}:{number}" for number, line in _prose(ROOT / page) if len(line) > WIDTH and not _one_link(line)]
    assert long == []


@pytest.mark.parametrize("page", [name for name in PAGES if name != "CHANGELOG.md"])
def test_sentences_can_be_read_once(page: str) -> None:
    """No sentence of prose has more than 45 words. The habit is 20."""
    assert [sentence for sentence in _sentences(page) if len(sentence.split()) > WORDS] == []


def _sentences(page: str) -> Iterator[str]:
    """The sentences of paragraphs and lists, a link as its text."""
    text = "\n".join(line for _, line in _prose(ROOT / page))
    for block in re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) ", text):
        plain = re.sub(r"\]\([^)]*\)", "]", " ".join(block.split()))
        yield from re.split(r"(?<=[.!?:])\s+(?=[A-Z`*\[])", plain)


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs before the first heading, list, table or code."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if re.match(r"[#|`~<!]|[-*] |\d+\. |    ", paragraph):
            return
        yield " ".join(paragraph.split())


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    fence = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if found := FENCE.match(line):
            fence = "" if found[1] == fence else fence or found[1]
        elif not fence and not line.startswith("    ") and not UNWRAPPED.match(line):
            yield number, line


def _one_link(line: str) -> bool:
    return re.fullmatch(r"\s*(?:[-*] )?\[[^]]*\]\([^)]*\)\S*", line) is not None
