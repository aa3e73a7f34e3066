"""Loads a module of hooks from a file or by its name, and checks that each of its functions has the form of a hook."""

import dis
import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, TypeAlias

from forestay.core.ports.hooks import explained
from forestay.core.rules.hooks import Hook

HookFunction: TypeAlias = Callable[[Any], Awaitable[object]]
"""An async function that takes an event and returns an answer; of what is told, nothing."""

MODULE_NAME: Final = "forestay_application_hooks"
"""The name of a module that was loaded from a file."""

_CLOSE: Final = 0.75
# What the code of `await`, `async with` and `async for` has.
_WAITING: Final = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "SEND"})
_PREFIXES: Final = ("on_", "handle_", "before_", "after_")


class HookModuleError(ValueError):
    """A module of hooks cannot be used. `problems`: each says where, what is wrong, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class HookModule:
    """A module of hooks that was loaded."""

    def __init__(self, module: ModuleType, functions: Mapping[Hook, HookFunction]) -> None:
        self.file = getattr(module, "__file__", None) or module.__name__
        self.functions = functions
        self.immediate = frozenset(hook for hook, function in functions.items() if _never_waits(function))
        """Those that never wait for anything: there is no `await` in their code."""


def load(named: str) -> HookModule:
    """The module of hooks in the file `named`, or with this name. Its code runs now. Raises HookModuleError."""
    module = _run(named)
    functions: dict[Hook, HookFunction] = {}
    problems: list[str] = []
    for name, value in vars(module).items():
        if name in list(Hook):
            fault = _fault(name, value)
            if fault is None:
                functions[Hook(name)] = value
            else:
                problems.append(f"{_place(value, named)}: {fault}")
        elif _is_own_function(module, name, value) and (meant := _meant(name)) is not None:
            problems.append(
                f"{_place(value, named)}: {name} is no hook; did you mean {meant}? Else begin its name with _"
            )
    if not functions and not problems:
        problems.append(f"{named}: it has no hook; write async functions called {', '.join(Hook)}")
    if problems:
        raise HookModuleError(problems)
    return HookModule(module, functions)


def _run(named: str) -> ModuleType:
    is_path = named.endswith(".py") or "/" in named
    if named.startswith(".") and not is_path:
        raise HookModuleError([f"{named}: a relative name; give the whole name of a module, or the path of a file"])
    try:
        return _from_file(Path(named)) if is_path else importlib.import_module(named)
    except HookModuleError:
        raise
    except SyntaxError as error:
        place = f"{error.filename or named}:{error.lineno or 0}"
        raise HookModuleError([f"{place}: {error.msg}; correct this line"]) from None
    except ModuleNotFoundError as error:
        raise HookModuleError([_not_found(named, error)]) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = place_of(error.__traceback__, None) or named
        raise HookModuleError([f"{where}: {explained(error)} while the module was loaded; correct it there"]) from error


def _not_found(named: str, error: ModuleNotFoundError) -> str:
    if error.name is not None and (named == error.name or named.startswith(f"{error.name}.")):
        return (
            f"{named}: there is no such module; give the path of a file that ends with .py, or the name of a module "
            f"that is installed or on PYTHONPATH"
        )
    where = place_of(error.__traceback__, None) or named
    return f"{where}: it imports {error.name}, which is not installed; install it, or put it beside the file"


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise HookModuleError([f"{path}: {what}; give the path of a file that ends with .py, and check the mount"])
    spec = spec_from_file_location(MODULE_NAME, path)
    if spec is None or spec.loader is None:
        raise HookModuleError([f"{path}: not a file of Python; its name has to end with .py"])
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        # Last, so that no file beside it stands in for a module of the gateway.
        sys.path.append(folder)
    module = module_from_spec(spec)
    # Some decorators look their module up.
    sys.modules[MODULE_NAME] = module
    spec.loader.exec_module(module)
    return module


def _fault(name: str, value: object) -> str | None:
    """What is wrong with the hook called `name`; None where it has the right form."""
    if not callable(value):
        return f"{name} is of type {type(value).__name__}; a hook is an async function: async def {name}(event)"
    called = vars(type(value)).get("__call__")
    if not inspect.iscoroutinefunction(inspect.unwrap(value)) and not inspect.iscoroutinefunction(called):
        return f"{name} is not async; write: async def {name}(event)"
    try:
        inspect.signature(value).bind(object())
    except TypeError:
        return f"{name} does not take one argument, the event; write: async def {name}(event)"
    return None


def _never_waits(function: HookFunction) -> bool:
    code = getattr(function, "__code__", None)
    # A decorator may return any awaitable.
    if code is None or not inspect.iscoroutinefunction(function):
        return False
    return not any(each.opname in _WAITING for each in dis.get_instructions(code))


def _is_own_function(module: ModuleType, name: str, value: object) -> bool:
    return not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__


def _meant(name: str) -> str | None:
    """The hook that a function called `name` was perhaps meant to be."""
    plain = name.lower()
    for prefix in _PREFIXES:
        plain = plain.removeprefix(prefix)
    return next(iter(get_close_matches(plain, list(Hook), n=1, cutoff=_CLOSE)), None)


def _place(value: object, otherwise: str) -> str:
    code = getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)
    return otherwise if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def place_of(trace: TracebackType | None, file: str | None) -> str | None:
    """The file and the line of an error: the last place in `file`, or else outside of what imports modules.

    None where there is no such place.
    """
    found = None
    for name, line in _lines(trace):
        if name == file or (file is None and not name.startswith("<frozen") and not _is_ours(name)):
            found = f"{name}:{line}"
    return found


def _lines(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _is_ours(name: str) -> bool:
    return name in (__file__, importlib.__file__)
