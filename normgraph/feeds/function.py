"""Feeds from a function of the user's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from normgraph.errors import UsageError
from normgraph.feeds.making import Feed, checked
from normgraph.feeds.signature import Signature
from normgraph.importing import catch_up


def call_for_feeds(name: str, signature: Signature) -> list[Feed]:
    """The feeds that a function of the user's makes.

    Args:
        name: ``module:function`` or ``path/to/file.py:function``; modules are looked for in the working directory
            too. The function takes no arguments and returns a mapping from input names to arrays, or an iterable
            of such mappings.
        signature: the signature of the model that is to be fed.

    Raises:
        UsageError: there is no such function, it fails, or what it returns doesn't fit the model.
    """
    function = _function(name)
    try:
        returned = function()
        iterable = isinstance(returned, Iterable) and not isinstance(returned, Mapping)
        mappings: list[Any] = [_own(mapping, name) for mapping in (returned if iterable else [returned])]
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # one that ends the program would end it as if the models agreed
        raise UsageError(
            f"the function that makes inputs must not fail: {name} ({type(error).__name__}: {error}); "
            "call it with no arguments to see why"
        ) from error
    if not mappings or not all(isinstance(mapping, Mapping) for mapping in mappings):
        kinds = dict.fromkeys(type(mapping).__name__ for mapping in mappings if not isinstance(mapping, Mapping))
        told = "nothing" if not mappings or returned is None else f"{'several ' if iterable else ''}{', '.join(kinds)}"
        raise UsageError(
            f"the function that makes inputs must return a mapping from names to arrays, or several: {name}; "
            f"it returned {told}"
        )
    return [
        checked(signature, name if len(mappings) == 1 else f"{name} {number}", mapping)
        for number, mapping in enumerate(mappings)
    ]


def _own(mapping: Any, function: str) -> Any:
    """A mapping with arrays of its own, since a generator may fill the same ones again; anything else as it is."""
    if not isinstance(mapping, Mapping):
        return mapping
    arrays = {}
    for key, value in mapping.items():
        try:
            arrays[str(key)] = np.array(value)
        except Exception as error:  # rows of several lengths, a tensor that another library won't hand over
            raise UsageError(
                f"what a function makes for an input must be an array, and what {function} makes for '{key}' is none "
                f"({type(error).__name__}: {' '.join(str(error).split())}); return NumPy arrays"
            ) from error
    return arrays


def _function(name: str) -> Callable[[], Any]:
    where, separator, attribute = name.rpartition(":")
    if not separator or not where or not attribute:
        raise UsageError(f"a function is named as module:function or file.py:function, not '{name}'")
    module = _module(where, name)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UsageError(f"the function that makes inputs must be there, and {where} has no function '{attribute}'")
    return function  # type: ignore[no-any-return]


def _module(where: str, name: str) -> ModuleType:
    catch_up()
    try:
        if where.endswith(".py"):
            path = Path(where)
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        here = str(Path.cwd())
        sys.path.insert(0, here)
        try:
            return importlib.import_module(where)
        finally:
            sys.path.remove(here)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"the module of the function that makes inputs must be importable: {name} "
            f"({type(error).__name__}: {error}); check its name and its own imports"
        ) from error
