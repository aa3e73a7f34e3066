"""Modules and functions stay small, and the pure layers silence no type checker."""

import ast
import re

from tests.support.repository import lines, modules, name, syntax

LINES = 280
PARAMETERS = 6
# Files with such names collect unrelated code.
DRAWERS = {"base", "common", "helpers", "manager", "managers", "misc", "util", "utils"}
SHIPPED = [*modules(), *modules("clients/python/src")]
SUPPRESSIONS = re.compile(r"type:\s*ignore|#\s*noqa|\bAny\b|\bcast\(")


def test_no_module_is_too_long() -> None:
    """No shipped module has more than 280 lines."""
    lengths = {name(path): len(list(lines(path))) for path in SHIPPED}
    assert {path: length for path, length in lengths.items() if length > LINES} == {}


def test_no_function_has_too_many_parameters() -> None:
    """No shipped function has more than six parameters, not counting `self`. A record has as many as fields."""
    long = {
        f"{name(path)}:{function.lineno} {function.name}": count
        for path in SHIPPED
        for function in ast.walk(syntax(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and not _makes_a_record(function)
        and (count := _parameters(function)) > PARAMETERS
    }
    assert long == {}


def test_no_module_has_a_catch_all_name() -> None:
    """Each file is named after its purpose, and none has a catch-all name."""
    assert [name(path) for path in SHIPPED if path.stem in DRAWERS or path.parent.name in DRAWERS] == []


def test_protocol_and_core_need_no_exceptions_from_their_types() -> None:
    """Nothing in protocol/ and core/ silences a checker or gives up on a type."""
    silenced = [
        f"{name(path)}:{number} {line.strip()}"
        for folder in ("app/forestay/core", "app/forestay/protocol")
        for path in modules(folder)
        for number, line in lines(path)
        if SUPPRESSIONS.search(line)
    ]
    assert silenced == []


def _makes_a_record(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is a constructor that does no more than to keep each argument in the field of its name."""
    statements = [each for each in function.body if not isinstance(each, ast.Expr)]
    return function.name == "__init__" and all(
        isinstance(each, ast.Assign)
        and isinstance(each.value, ast.Name)
        and ast.unparse(each.targets[0]) == f"self.{each.value.id}"
        for each in statements
    )


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return len([a for a in arguments if a.arg not in ("self", "cls")]) + len(function.args.kwonlyargs)
