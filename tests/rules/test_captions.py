"""The tree in ARCHITECTURE.md shows every module with its own caption."""

import ast

from docs.tree import PACKAGE, PAGE, page
from tests.support.repository import modules, name, syntax


def test_the_tree_is_what_the_modules_say() -> None:
    """The page shows each module with the first line of its docstring; if not, run `make tree`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_module_has_a_caption() -> None:
    """Each module below app/ has a docstring."""
    assert [name(path) for path in modules() if not ast.get_docstring(syntax(path))] == []


def test_every_folder_is_a_package() -> None:
    """Each folder with modules has an __init__.py, because the tree would not show it otherwise."""
    assert [name(path) for path in modules() if not (path.parent / "__init__.py").exists()] == []
    assert PACKAGE.is_dir()
