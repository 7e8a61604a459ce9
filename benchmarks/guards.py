"""Which guards can be taken out of the code without a test noticing.

    python benchmarks/guards.py normgraph/folding/plans.py ... --tests tests/test_folds.py tests/folds ...

Takes out one guard at a time - the condition of an early exit, an operand of ``and`` or ``or``, the condition of a
comprehension, a call of ``all`` or ``any``, the edge of a comparison - and runs the tests that come by it, each time in
a process of its own, which imports the changed module in place of the real one: no file is touched.  Told are the
guards whose absence nothing noticed.  Whether these are equivalent, or a test is missing, is for a person to say.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import os
import pickle
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

#: What every test imports and no guard is in: imported once, before processes part.
SHARED = ("numpy", "onnx", "onnx.reference", "onnx_ir", "onnxruntime")
EDGES: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
EXITS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Removal:
    """A module without one of its guards.

    Attributes:
        path: the module's file.
        line: where the guard stands.
        lines: the lines that it takes up.
        what: what was done, with the guard's text.
        code: the changed module.
    """

    path: Path
    line: int
    lines: range
    what: str
    code: CodeType

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True)
class _Edit:
    """What is put in a guard's place: into a field of its node, or one element of that."""

    what: str
    field: str
    new: ast.AST
    position: int | None = None

    def made(self, node: ast.AST) -> None:
        """Change the node."""
        if self.position is None:
            setattr(node, self.field, self.new)
        else:
            getattr(node, self.field)[self.position] = self.new


def _edits(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.If) and isinstance(node.body[-1], EXITS):
        yield _Edit(f"if {ast.unparse(node.test)}: never", "test", ast.Constant(False))
    elif isinstance(node, ast.IfExp):
        for outcome in (True, False):
            yield _Edit(f"{ast.unparse(node)}: always {outcome}", "test", ast.Constant(outcome))
    elif isinstance(node, ast.BoolOp):
        for i, operand in enumerate(node.values):
            told = f"'{ast.unparse(node)}' without '{ast.unparse(operand)}'"
            yield _Edit(told, "values", ast.Constant(isinstance(node.op, ast.And)), i)
    elif isinstance(node, ast.comprehension):
        for i, condition in enumerate(node.ifs):
            yield _Edit(f"for ... if {ast.unparse(condition)}: always", "ifs", ast.Constant(True), i)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in EDGES:
        yield _Edit(f"{ast.unparse(node)}: its edge", "ops", EDGES[type(node.ops[0])](), 0)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("all", "any"):
        outcome = node.func.id == "all"
        always = ast.List([ast.Constant(outcome)], ast.Load())
        yield _Edit(f"{ast.unparse(node)}: always {outcome}", "args", always, 0)


def removals(path: Path) -> Iterator[Removal]:
    """Every guard of a module, taken out."""
    tree = ast.parse(path.read_text("utf-8"))
    for position, node in enumerate(ast.walk(tree)):
        for edit in _edits(node):
            changed = copy.deepcopy(tree)
            edit.made(next(n for i, n in enumerate(ast.walk(changed)) if i == position))
            guard = node.test if isinstance(node, ast.If) else node
            places = [n for n in ast.walk(guard) if isinstance(n, ast.expr)]
            lines = range(min(n.lineno for n in places), max(n.end_lineno or n.lineno for n in places) + 1)
            code = compile(ast.fix_missing_locations(changed), str(path), "exec")
            yield Removal(path, lines.start, lines, edit.what, code)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: CodeType) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the changed module in place of the real one."""

    def __init__(self, removal: Removal) -> None:
        self._removal = removal
        self._name = ".".join(removal.path.with_suffix("").parts)

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        path = str(self._removal.path.resolve())
        loader = _Loader(fullname, path, self._removal.code)
        return importlib.machinery.ModuleSpec(fullname, loader, origin=path)


class _Coverage:
    """A plugin of pytest that notes which tests come by which lines of some modules."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = {str(path.resolve()): str(path) for path in paths}
        self.tests: dict[tuple[str, int], dict[str, None]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Trace one test."""

        def traced(frame: FrameType, event: str, _: object) -> Any:
            name = self._paths.get(frame.f_code.co_filename)
            if name is None:
                return None
            if event == "line":
                self.tests.setdefault((name, frame.f_lineno), {})[item.nodeid] = None
            return traced

        before = sys.gettrace()
        sys.settrace(traced)
        try:
            return (yield)
        finally:
            sys.settrace(before)


def _in_child(work: Callable[[], int], limit: int) -> int:
    """The status that a piece of work returns, in a process of its own and unheard; not 0 if it doesn't end."""
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(limit)
            with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                status = work()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def _run(tests: Sequence[str], plugins: Sequence[object] = ()) -> int:
    # Plain assertions: to rewrite those of normgraph, which brings a plugin, pytest would import its files itself.
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"]
    return int(pytest.main([*options, *tests], plugins=list(plugins)))


def coverage(paths: Sequence[Path], tests: Sequence[str], limit: int) -> dict[tuple[str, int], dict[str, None]]:
    """Which tests come by each line of the modules.

    Raises:
        SystemExit: one of the tests fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "coverage"

        def work() -> int:
            plugin = _Coverage(paths)
            status = _run(tests, [plugin])
            noted.write_bytes(pickle.dumps(plugin.tests))
            return status

        if _in_child(work, 10 * limit):
            raise SystemExit("the tests fail with all guards in place")
        found: dict[tuple[str, int], dict[str, None]] = pickle.loads(noted.read_bytes())
        return found


def noticed(removal: Removal, tests: Sequence[str], limit: int) -> bool:
    """Whether one of the tests fails, or doesn't end, without the guard."""

    def work() -> int:
        sys.meta_path.insert(0, _Finder(removal))
        return _run(tests)

    return bool(tests) and _in_child(work, limit) != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", type=Path, help="the modules, as paths from the checkout")
    parser.add_argument("--tests", nargs="+", required=True, help="files of tests, as pytest is given them")
    parser.add_argument("--select", metavar="EXPRESSION", default="", help="which of the tests, as pytest's -k")
    parser.add_argument("--every", metavar="N", type=int, default=1, help="try each Nth guard only (1)")
    parser.add_argument("--most", metavar="N", type=int, default=1_000, help="run so many tests of each guard (1,000)")
    parser.add_argument("--limit", metavar="SECONDS", type=int, default=300, help="how long they may take (300)")
    options = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    for name in SHARED:
        importlib.import_module(name)
    covering = coverage(options.modules, [*options.tests, "-k", options.select], options.limit)
    breadth = Counter(test for tests in covering.values() for test in tests)  # the most particular tests come first
    for path in options.modules:
        tried = survived = 0
        for removal in islice(removals(path), 0, None, options.every):
            passing = {test for line in removal.lines for test in covering.get((str(path), line), ())}
            tests = sorted(passing, key=lambda test: (breadth[test], test))[: options.most]
            tried += 1
            if not noticed(removal, tests, options.limit):
                survived += 1
                print(f"{removal} ({len(tests)} of {len(passing)} tests that come by)", flush=True)
        print(f"{path}: {tried} guards taken out, {survived} not noticed", flush=True)


if __name__ == "__main__":
    main()
