"""The page about clients of other languages has what `make clients-matrix` sees, and code that it runs."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

from tests.matrix.__main__ import PAGE, ROWS, table
from tests.matrix.libraries import LANGUAGES, Library, read
from tests.support.process import Program
from tests.support.repository import blocks
from tests.support.verdicts import Table, compared

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
    pieces = _pieces(library)
    assert pieces, f"{library.title} has no code on the page"
    for piece in pieces:
        assert _is_part(piece, program), piece


def test_no_code_of_the_page_is_of_no_library() -> None:
    """Each piece of code stands below the heading of a library."""
    owned = [code for library in LIBRARIES for code in _pieces(library)]
    assert [code for code in blocks(PAGE) if code not in owned] == []


def test_each_language_has_its_programs() -> None:
    """A language of the table has a name on the page, and no program lies about that no library names."""
    assert {each.language for each in LIBRARIES} <= LANGUAGES.keys()
    for library in LIBRARIES:
        folder = library.program.parent
        named = {each.source for each in LIBRARIES if each.language == library.language}
        lying = {each.name for each in folder.iterdir() if each.is_file() and each.stem.lower() != "terminal"}
        assert lying == named


def test_a_run_of_some_leaves_the_verdicts_of_the_others(tmp_path: Path) -> None:
    """What was seen takes the place of the same library, whatever its version was, and the rest stays."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- x -->\n<!-- end -->\n")
    known = Table(page, "x")
    known.write(
        {"one 1.0": {"a": "yes", "b": "no"}, "one more 1.0": {"a": "no", "b": "no"}}, ["one ", "one more "], ["a", "b"]
    )
    known.write({"one 2.0": {"a": "no", "b": "no"}}, ["one ", "one more "], ["a", "b"])
    assert known.read() == {"one 2.0": {"a": "no", "b": "no"}, "one more 1.0": {"a": "no", "b": "no"}}
    assert page.read_text().startswith("# Page\n")


def test_a_difference_counts_at_the_version_of_the_page(tmp_path: Path) -> None:
    """Another verdict at the same version is a difference; another version is named as such, and is none."""
    page = tmp_path / "page.md"
    page.write_text("<!-- x -->\n|  | one 1.0 |\n| --- | --- |\n| a | yes |\n<!-- end -->\n")
    known = Table(page, "x")
    assert list(known.differences({"one 1.0": {"a": "yes"}})) == []
    assert list(known.differences({"one 1.0": {"a": "no"}})) == ["one 1.0: a: no; page.md has: yes"]
    assert list(known.differences({"one 2.0": {"a": "no"}})) == []
    assert list(known.unknown({"one 2.0": {"a": "no"}})) == ["one 2.0 is not in page.md, which has one 1.0"]


async def test_a_library_whose_tools_are_missing_is_named(tmp_path: Path) -> None:
    """It is left out with the tool that it lacks, and the exit status says so."""
    program = Program((sys.executable, "-m", "tests.matrix"))
    process = await program.start("gorilla", PATH=str(tmp_path), CLIENTS_CACHE=str(tmp_path))
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "left out: gorilla, because no go on PATH"
    assert process.returncode == 2


def _pieces(library: Library) -> list[str]:
    """The code on the page below the heading of the library, or of those that share one."""
    return blocks(PAGE, heading=rf"(?:.+(?:, | and ))?{re.escape(library.title)}(?:(?:, | and ).+)?")


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
    await compared("tests.matrix")
