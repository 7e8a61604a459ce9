"""Importing and collecting at little cost, for processes that are normgraph's own: the command line's and its workers'.

A program that calls the library decides for itself what is imported when, and when Python collects; nothing here
is done to it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import NoReturn

#: Modules that others import and a plain run never uses. sympy, more than half of what importing onnx_ir takes, stands
#: at the top of its _core for arithmetic on symbolic sizes; _symbolic_shapes, which reads such sizes, uses it at once.
SELDOM_USED = ("sympy", "onnx_ir._symbolic_shapes")

#: So many containers more than before, and Python's collector looks among them for cycles. By default it does at 700
#: (2,000 from Python 3.13 on), so dozens of times while a model is read, nearly all of which stays.
YOUNG = 20_000


@contextmanager
def deferred(names: Sequence[str] = SELDOM_USED) -> Iterator[None]:
    """Of what is imported in the block, load these modules when something of them is first used.

    They are the real modules, found where they would be and loaded by `importlib.util.LazyLoader`; what asks for an
    attribute of one, or imports it once more, waits until it is loaded and sees no difference. One that isn't
    there is missed as ever; one that is imported already, or comes by way of a finder of its own, is left alone.

    Two things differ, for which there is `catch_up`. Where a deferred package is first used by importing a part of it,
    as in ``import sympy.core.basic``, that part's own package is run twice and lacks its parts as attributes.
    Before Python 3.11.8 and 3.12.2, two threads that use such a module for the first time at once may find it half
    loaded (https://github.com/python/cpython/issues/114763).

    Args:
        names: their full names.
    """
    finder = _Deferring(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def catch_up(names: Sequence[str] = SELDOM_USED) -> None:
    """Load what `deferred` left for later, before code of others runs in this process.

    Args:
        names: the full names of the modules; of those that nothing has imported nothing is loaded.
    """
    for name in names:
        if name in sys.modules:
            vars(sys.modules[name])  # any attribute will do


class _Deferring:
    """A finder on ``sys.meta_path`` that finds what ``sys.path`` has of some modules, to be loaded later."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self._names else None
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None  # it isn't there, is a namespace, or has a loader of a kind that can't be told to wait
        spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def frugally() -> Iterator[None]:
    """Import in the block what a process needs for its work: what it seldom uses is `deferred`, and nothing collected.

    What comes with onnx and onnx_ir stays; to have Python's collector look among these containers for cycles,
    again and again while they are made, finds none.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        with deferred():
            yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """In the block, have Python's collector pass over what is there already, and look among the rest less often.

    What comes with onnx and onnx_ir stays, and so does most of a model; to look among these 70,000 containers again
    and again takes a tenth of the time of a run.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def exit_with(status: int) -> NoReturn:
    """End the program, and leave to the system what it holds.

    Python would look among all of it for cycles once more, to free what the end of the process frees. Whatever has to
    be put away at the end is, by `atexit` and by counting references.

    Raises:
        SystemExit: always.
    """
    gc.freeze()
    sys.exit(status)
