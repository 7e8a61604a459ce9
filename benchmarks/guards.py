"""Which guards can be taken out of the code without a test noticing.

    python benchmarks/guards.py normgraph/folding/plans.py ... --tests tests/test_folds.py tests/folds ...

Takes out one guard at a time - the condition of an early exit, an operand of ``and`` or ``or``, the condition of a
comprehension, a call of ``all`` or ``any``, the edge of a comparison - and runs the tests that come by it, up to the
first that fails.  The tests are collected once; each guard has a fork of that process, in which the functions get the
changed code: no file is touched.  Told are the guards whose absence nothing noticed, which can be tried again with more
tests (--again).  Whether these are equivalent, or a test is missing, is for a person to say: docs/guards.md does, and
what it names isn't told again (--known docs/guards.md).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import gc
import importlib
import os
import pickle
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

EDGES: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
EXITS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
#: What a fork says; a guard isn't reached in code that runs as the module is imported, before the fork.
UNNOTICED, NOTICED, UNREACHED, OUTDATED = 0, 1, 2, 3

Covering = dict[tuple[str, int], dict[str, None]]


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


def _always(outcome: bool, guard: ast.expr) -> ast.BoolOp:
    """What is true, or false, without asking the guard; names what the guard does, for closures to stay."""
    return ast.BoolOp(ast.Or() if outcome else ast.And(), [ast.Constant(outcome), guard])


def _edits(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.If) and isinstance(node.body[-1], EXITS):
        yield _Edit(f"if {ast.unparse(node.test)}: never", "test", _always(False, node.test))
    elif isinstance(node, ast.IfExp):
        for outcome in (True, False):
            yield _Edit(f"{ast.unparse(node)}: always {outcome}", "test", _always(outcome, node.test))
    elif isinstance(node, ast.BoolOp):
        for i, operand in enumerate(node.values):
            told = f"'{ast.unparse(node)}' without '{ast.unparse(operand)}'"
            yield _Edit(told, "values", _always(isinstance(node.op, ast.And), operand), i)
    elif isinstance(node, ast.comprehension):
        for i, condition in enumerate(node.ifs):
            yield _Edit(f"for ... if {ast.unparse(condition)}: always", "ifs", _always(True, condition), i)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in EDGES:
        yield _Edit(f"{ast.unparse(node)}: its edge", "ops", EDGES[type(node.ops[0])](), 0)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("all", "any"):
        outcome = node.func.id == "all"
        always = ast.BoolOp(ast.Or(), [ast.List([ast.Constant(outcome)], ast.Load()), node.args[0]])
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
            code = compile(ast.fix_missing_locations(changed), str(path.resolve()), "exec", dont_inherit=True)
            yield Removal(path, lines.start, lines, edit.what, code)


def _functions(path: Path) -> list[FunctionType]:
    """Every function that the module has made so far, wherever it is kept."""
    told = str(path.resolve())
    return [f for f in gc.get_objects() if isinstance(f, FunctionType) and f.__code__.co_filename == told]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _forget() -> None:
    """Clear what the package remembers of calls with all guards in place, made as the tests were collected."""
    for remembering in gc.get_objects():
        if isinstance(remembering, _lru_cache_wrapper) and remembering.__module__.startswith("normgraph."):
            remembering.cache_clear()


def take_out(removal: Removal) -> bool:
    """Give a module's functions the changed code; whether the change is in any of them.

    Raises:
        ValueError: a function has no such code in the file as it is now, or it can't be given it.
    """
    changed: dict[tuple[str, int], list[CodeType]] = {}
    _forget()
    for code in _codes(removal.code):
        changed.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
    reached = False
    for function in _functions(removal.path):
        own = function.__code__
        (code,) = changed.get((own.co_qualname, own.co_firstlineno), ())
        if code.co_code != own.co_code or code.co_consts != own.co_consts:
            function.__code__ = code
            reached = True
    return reached


def _in_child(work: Callable[[], int], limit: int) -> int:
    """The status that a piece of work returns, in a process of its own and unheard; NOTICED if it doesn't end."""
    child = os.fork()
    if not child:
        status = NOTICED
        try:
            signal.alarm(limit)
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
                with contextlib.redirect_stdout(nowhere):
                    status = work()
        finally:
            os._exit(status)
    outcome = os.waitpid(child, 0)[1]
    return os.WEXITSTATUS(outcome) if os.WIFEXITED(outcome) else NOTICED


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def coverage(paths: Sequence[Path], items: Sequence[pytest.Item], limit: int) -> Covering:
    """Which tests come by each line of the modules.

    Raises:
        pytest.UsageError: one of the tests fails.
    """
    names = {str(path.resolve()): str(path) for path in paths}
    found: Covering = {}

    def traced(item: pytest.Item) -> bool:
        def trace(frame: FrameType, event: str, _: object) -> Any:
            name = names.get(frame.f_code.co_filename)
            if name is not None and event == "line":
                found.setdefault((name, frame.f_lineno), {})[item.nodeid] = None
            return None if name is None else trace

        sys.settrace(trace)
        try:
            return _passes(item)
        finally:
            sys.settrace(None)

    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "coverage"

        def work() -> int:
            passed = all(traced(item) for item in items)
            noted.write_bytes(pickle.dumps(found))
            return UNNOTICED if passed else NOTICED

        if _in_child(work, 10 * limit) != UNNOTICED:
            raise pytest.UsageError("the tests fail with all guards in place")
        told: Covering = pickle.loads(noted.read_bytes())
        return told


def outcome_of(removal: Removal, items: Sequence[pytest.Item], limit: int) -> int:
    """Whether one of the tests fails, or doesn't end, without the guard."""

    def work() -> int:
        try:
            if not take_out(removal):
                return UNREACHED
        except ValueError:
            return OUTDATED
        return UNNOTICED if all(_passes(item) for item in items) else NOTICED

    return _in_child(work, limit)


def _named(removal: Removal, told: Path) -> bool:
    """Whether what an earlier run wrote says of a guard that its absence wasn't noticed, wherever it stands now."""
    place, what = f"{removal.path}:", f": {removal.what} ("
    return any(line.startswith(place) and what in line for line in told.read_text("utf-8").splitlines())


def explained(page: Path | None) -> dict[str, frozenset[str]]:
    """The guards of each module of which a page says why nothing fails without them: "- `guard`: reason"."""
    found: dict[str, frozenset[str]] = {}
    for section in () if page is None else page.read_text("utf-8").split("\n## ")[1:]:
        module, *lines = section.splitlines()
        told = (line[3:].split("`: ")[0] for line in lines if line.startswith("- `"))
        found[module.strip("`")] = frozenset(told)
    return found


class _Trial:
    """A plugin of pytest that takes guards out where pytest would run the tests it has collected."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every guard of every module."""
        options = self._options
        items = {item.nodeid: item for item in session.items}
        covering = coverage(options.modules, session.items, options.limit)
        breadth = Counter(test for tests in covering.values() for test in tests)  # the most particular come first
        reasons = explained(options.known)
        for path in options.modules:
            outcomes: Counter[int] = Counter()
            known = 0
            tried = (r for r in removals(path) if options.again is None or _named(r, options.again))
            for removal in islice(tried, 0, None, options.every):
                passing = {test for line in removal.lines for test in covering.get((str(path), line), ())}
                tests = sorted(passing, key=lambda test: (breadth[test], test))[: options.most]
                outcome = outcome_of(removal, [items[test] for test in tests], options.limit)
                if outcome == OUTDATED:
                    raise pytest.UsageError(f"{removal}: the functions can't be given that code; has the file changed?")
                outcomes[outcome] += 1
                if outcome == UNNOTICED and removal.what in reasons.get(str(path), ()):
                    known += 1
                elif outcome == UNNOTICED:
                    print(f"{removal} ({len(tests)} of {len(passing)} tests that come by)", flush=True)
            print(
                f"{path}: {outcomes[UNNOTICED] + outcomes[NOTICED]} guards taken out, {outcomes[UNNOTICED]} not noticed"
                f", {known} of them known; {outcomes[UNREACHED]} run on import only, or change nothing",
                flush=True,
            )
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", type=Path, help="the modules, as paths from the checkout")
    parser.add_argument("--tests", nargs="+", required=True, help="files of tests, as pytest is given them")
    parser.add_argument("--select", metavar="EXPRESSION", default="", help="which of the tests, as pytest's -k")
    parser.add_argument("--again", metavar="FILE", type=Path, help="try what an earlier run told, its output, only")
    parser.add_argument("--known", metavar="PAGE", type=Path, help="don't tell what this page says the reason of")
    parser.add_argument("--every", metavar="N", type=int, default=1, help="try each Nth guard only (1)")
    parser.add_argument("--most", metavar="N", type=int, default=1_000, help="run so many tests of each guard (1,000)")
    parser.add_argument("--limit", metavar="SECONDS", type=int, default=60, help="how long they may take (60)")
    options = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    importlib.import_module("onnxruntime")  # and what it imports: not anew in each fork
    told = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", "-k", options.select, *options.tests]
    sys.exit(pytest.main(told, plugins=[_Trial(options)]))


if __name__ == "__main__":
    main()
