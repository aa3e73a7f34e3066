"""The glossary defines each term once, leads to the code, and replaces the words that were there before."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.repository import ROOT, codes, modules, name, rows, syntax

PAGE = "docs/glossary.md"
# An identifier below app/ has none of these words: `bury_all`, `LaneOwner` and `_fleet` are found, `lanes` as well.
OLD_WORDS = {
    *("roster", "reception", "continuity", "interest", "quota", "world", "tally", "terms", "wish", "entrance"),
    *("parting", "roll", "canary", "lane", "course", "fleet", "fate", "dice", "bury", "buried", "mourn"),
    *("peers", "saying", "beat"),
}
# In a sentence some of these mean something else, as in "the rest of the world".
ORDINARY_WORDS = {"interest", "world", "terms", "course", "peers", "saying", "beat", "roll"}
# Classes that were renamed, and whose old name is a word for something else today.
OLD_CLASSES = {"Gateway", "Lease", "Past", "Questions", "Stay"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def test_a_term_is_defined_once() -> None:
    """Each term has one row on the page."""
    times = Counter(term.lower() for term, _, _ in _terms())
    assert {term: count for term, count in times.items() if count > 1} == {}


def test_the_terms_are_in_order() -> None:
    """The terms of each table are sorted, whatever their case."""
    for table in _tables():
        assert table == sorted(table, key=str.lower)


def test_a_term_leads_to_the_code_that_defines_it() -> None:
    """The last cell of a row links one module below app/ and gives a name that this module defines."""
    astray = [f"{term}: {where}" for term, _, where in _terms() if not _defined(where)]
    assert astray == []


def test_a_definition_is_one_or_two_plain_sentences() -> None:
    """A definition has at most 40 words and ends with a full stop."""
    assert [term for term, text, _ in _terms() if len(text.split()) > 40 or not text.endswith(".")] == []


def test_an_identifier_has_no_old_word() -> None:
    """No class, function, parameter, attribute or variable below app/ is called by a word that was replaced."""
    found = {
        f"{name(path)}: {identifier}"
        for path in modules()
        for identifier in {path.stem, *_identifiers(syntax(path))}
        if _words(identifier) & OLD_WORDS or identifier.lstrip("_") in OLD_CLASSES
    }
    assert sorted(found) == []


def test_a_caption_has_no_old_word() -> None:
    """The first line of a module's docstring below app/ uses no word that was replaced."""
    banned = OLD_WORDS - ORDINARY_WORDS
    found = [
        f"{name(path)}: {caption}"
        for path in modules()
        for caption in [(ast.get_docstring(syntax(path)) or "").partition("\n")[0]]
        if _words(caption) & banned
    ]
    assert found == []


def _terms() -> Iterator[list[str]]:
    """The cells of each row: the term, what it means, where it is."""
    return (cells for cells in rows(PAGE, "term") if cells[0] != "Term" and set(cells[0]) != {"-"})


def _tables() -> Iterator[list[str]]:
    """The terms of each table of the page."""
    sections = re.split(r"^## ", (ROOT / PAGE).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for section in sections[1:]:
        yield re.findall(r"^\| (?!Term|---)([^|]+?) \|", section, re.MULTILINE)


def _defined(where: str) -> bool:
    linked = re.fullmatch(r"\[`[\w./]+`\]\(\.\./(app/[\w./]+\.py)\): (`[\w.]+`)", where)
    if linked is None:
        return False
    path = ROOT / linked[1]
    [wanted] = codes(linked[2])
    return path.is_file() and wanted in _definitions(path)


def _definitions(path: Path) -> set[str]:
    """The names that a module defines: its classes, functions and constants, and the members of its classes."""
    found: set[str] = set()
    for node in syntax(path).body:
        found |= _bound(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{member}" for inner in node.body for member in _bound(inner)}
    return found


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _identifiers(tree: ast.Module) -> Iterator[str]:
    """What a module gives names to; the names that it only uses come from elsewhere."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case _:
                pass


def _words(text: str) -> set[str]:
    """The words of an identifier or a sentence, in lower case, a plural `s` also taken off."""
    words = {word.lower() for word in WORD.findall(text)}
    return words | {word.removesuffix("s") for word in words}
