"""The page about clients of other languages has what `make clients-matrix` sees, and code that it runs."""

import re
import sys
import textwrap

import pytest

from tests.matrix.__main__ import PAGE, ROWS, table
from tests.matrix.libraries import LANGUAGES, Library, read
from tests.support.process import Program

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LIBRARIES = read()


@pytest.mark.parametrize("language", {each.language for each in LIBRARIES})
def test_the_page_has_every_library_and_every_check(language: str) -> None:
    """Each library with one version, each check with a verdict."""
    known = table(language).read()
    assert [title.rpartition(" ")[0] for title in known] == [
        each.title for each in LIBRARIES if each.language == language
    ]
    for title, verdicts in known.items():
        assert list(verdicts) == ROWS
        assert all(verdicts.values()), title


@pytest.mark.parametrize("library", [each for each in LIBRARIES if each.version], ids=lambda each: each.name)
def test_the_page_has_the_version_that_is_built(library: Library) -> None:
    """The versions of the page are those of libraries.toml."""
    assert f"{library.title} {library.version.removeprefix('v')}" in table(library.language).read()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda each: each.name)
def test_each_library_has_code_on_the_page_that_is_run(library: Library) -> None:
    """Below its heading stands code, and each piece of it is found in the program as it stands."""
    program = library.program.read_text(encoding="utf-8")
    pieces = [code for _, code in _FENCE.findall(_section(library))]
    assert pieces, f"{library.title} has no code on the page"
    for piece in pieces:
        assert _is_part(piece, program), piece


def test_no_code_of_the_page_is_of_no_library() -> None:
    """Each piece of code stands below the heading of a library."""
    text = PAGE.read_text(encoding="utf-8")
    owned = [code for library in LIBRARIES for _, code in _FENCE.findall(_section(library))]
    assert [code for _, code in _FENCE.findall(text) if code not in owned] == []


def test_each_language_has_its_programs() -> None:
    """A language of the table has a name on the page, and no program lies about that no library names."""
    assert {each.language for each in LIBRARIES} <= LANGUAGES.keys()
    for library in LIBRARIES:
        folder = library.program.parent
        named = {each.source for each in LIBRARIES if each.language == library.language}
        lying = {each.name for each in folder.iterdir() if each.is_file() and each.stem.lower() != "terminal"}
        assert lying == named


def _section(library: Library) -> str:
    """What stands on the page below the heading of the library, or of those that share one."""
    for section in re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        head, _, body = section.partition("\n")
        if library.title in re.split(", | and ", head):
            return body
    return ""


def _is_part(piece: str, program: str) -> bool:
    """Whether the lines of `piece` follow each other in `program`, with one indentation more or less in front."""
    wanted = textwrap.dedent(piece).strip("\n").splitlines()
    lines = program.splitlines()
    return any(
        textwrap.dedent("\n".join(lines[at : at + len(wanted)])).splitlines() == wanted for at in range(len(lines))
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_the_verdicts_are_those_of_the_page() -> None:
    """Each library that can be had here does what the page says at its version."""
    process = await Program((sys.executable, "-m", "tests.matrix")).start()
    out, error = await process.communicate()
    if process.returncode == 2:
        pytest.skip(out.decode().strip().splitlines()[-1])
    assert process.returncode == 0, (out + error).decode()[-3000:]
