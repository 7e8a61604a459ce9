"""Inputs from files and functions: read as they are, and refused in one line where they don't fit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from normgraph.errors import UsageError
from normgraph.feeds import Feed, Feeding, Signature, feeds_for, signature_of

HEADER = '<ir_version: 9, opset_import: ["" : 17]>'
X, IDS = np.arange(6, dtype=np.float32).reshape(2, 3), np.asarray([1, 0])


def signature(inputs: str = "float[B, 3] x, int64[B] i") -> Signature:
    return signature_of(ir.from_proto(onnx.parser.parse_model(f"{HEADER} g ({inputs}) => (y) {{ y = Shape(x) }}")))


def given(source: Path | str, inputs: str = "float[B, 3] x, int64[B] i") -> list[Feed]:
    return feeds_for(signature(inputs), Feeding(source=str(source)))


def tensor(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(numpy_helper.from_array(array).SerializeToString())


def named(folder: Path) -> Path:
    np.savez(folder / "a.npz", i=IDS, x=X)
    return folder / "a.npz"


def unnamed(folder: Path) -> Path:
    np.savez(folder / "a.npz", X, IDS)
    return folder / "a.npz"


def tensors(folder: Path) -> Path:
    tensor(folder / "input_0.pb", X)
    tensor(folder / "input_1.pb", IDS)
    tensor(folder / "output_0.pb", IDS)
    return folder


def module(folder: Path) -> str:
    (folder / "mine.py").write_text(
        "import numpy as np\ndef one():\n"
        "    return {'x': np.arange(6, dtype=np.float32).reshape(2, 3), 'i': np.asarray([1, 0])}\n"
    )
    return f"{folder}/mine.py:one"


SOURCES = [
    pytest.param(named, id="archive"),
    pytest.param(unnamed, id="archive-without-names"),
    pytest.param(tensors, id="folder-of-tensors"),
    pytest.param(module, id="function-in-a-file"),
]


@pytest.mark.parametrize("source", SOURCES)
def test_inputs_are_read(source: Callable[[Path], Path | str], tmp_path: Path) -> None:
    (feed,) = given(source(tmp_path))
    assert list(feed.arrays) == ["x", "i"]
    assert np.array_equal(feed.arrays["x"], X)
    assert np.array_equal(feed.arrays["i"], IDS)
    assert feed.recipe is None


@pytest.mark.parametrize("name", ["a.npy", "a.pb"])
def test_single_array_is_enough_for_a_single_input(name: str, tmp_path: Path) -> None:
    if name.endswith("npy"):
        np.save(tmp_path / name, X)
    else:
        tensor(tmp_path / name, X)
    (feed,) = given(tmp_path / name, "float[B, 3] x")
    assert np.array_equal(feed.arrays["x"], X)


def test_folder_laid_out_as_backend_tests_holds_several_feeds(tmp_path: Path) -> None:
    for number in range(11):
        tensor(tmp_path / f"test_data_set_{number}" / "input_0.pb", X + number)
    feeds = given(tmp_path, "float[B, 3] x")
    assert [feed.arrays["x"][0, 0] for feed in feeds] == list(range(11))


def test_folder_of_archives_holds_several_feeds(tmp_path: Path) -> None:
    for number in range(3):
        np.savez(tmp_path / f"{number}.npz", x=X + number)
    assert len(given(tmp_path, "float[B, 3] x")) == 3


def test_module_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made_here.py").write_text(
        "import numpy as np\n"
        "def several():\n    for n in range(2):\n        yield {'x': np.ones((n + 1, 3), 'float32')}\n"
    )
    feeds = given("made_here:several", "float[B, 3] x")
    assert [feed.label for feed in feeds] == ["made_here:several 0", "made_here:several 1"]


def test_array_that_a_generator_fills_again_is_copied(tmp_path: Path) -> None:
    (tmp_path / "refilled.py").write_text(
        "import numpy as np\n"
        "def f():\n"
        "    x = np.empty((1, 3), 'float32')\n"
        "    for n in range(3):\n        x[:] = n\n        yield {'x': x}\n"
    )
    feeds = given(f"{tmp_path}/refilled.py:f", "float[B, 3] x")
    assert [feed.arrays["x"][0, 0] for feed in feeds] == [0, 1, 2]


def written(text: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / "wrong.py").write_text(text)
        return f"{folder}/wrong.py:f"

    return write


def archive(**arrays: np.ndarray) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        np.savez(folder / "a.npz", **arrays)
        return str(folder / "a.npz")

    return write


def file(name: str, content: bytes = b"nothing of the kind") -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return write


def damaged(folder: Path) -> str:
    np.savez_compressed(folder / "a.npz", x=X, i=IDS)
    content = bytearray((folder / "a.npz").read_bytes())
    content[content.index(b"x.npy") + 25 : content.index(b"x.npy") + 29] = b"\xff" * 4
    (folder / "a.npz").write_bytes(content)
    return str(folder / "a.npz")


def pair(folder: Path) -> str:
    tensor(folder / "input_0.pb", X)
    return str(folder)


UNFIT = [
    pytest.param(archive(x=X), "'i' isn't in .*a.npz.*its inputs are: x, i", id="input-missing"),
    pytest.param(archive(x=X, i=IDS, z=IDS), "'z' in .* isn't", id="no-such-input"),
    pytest.param(archive(x=X.astype(float), i=IDS), r"'x' in .* is float64\[2, 3\] where float\[B, 3\]", id="type"),
    pytest.param(archive(x=X[0], i=IDS), r"float32\[3\] where", id="rank"),
    pytest.param(archive(x=X[:, :2], i=IDS), r"float32\[2, 2\] where", id="size"),
    pytest.param(archive(x=X, i=IDS[:1]), r"int64\[1\] where int64\[B\]", id="sizes-that-should-agree"),
    pytest.param(file("a.npz"), r"must be readable.*\(it doesn't begin as .npz files do\)", id="no-archive"),
    pytest.param(file("a.npz", b""), r"\(it doesn't begin as .npz files do\)", id="empty-archive"),
    pytest.param(file("a.npy", b""), r"\(it doesn't begin as .npy files do\)", id="empty-array"),
    pytest.param(file("a.npz", b"PK\3\4 and nothing more"), "must be readable.*zip file", id="broken-archive"),
    pytest.param(damaged, "must be readable.*while decompressing", id="damaged-archive"),
    pytest.param(archive(x=np.asarray([object()]), i=IDS), "it holds Python objects", id="objects"),
    pytest.param(file("a.pb", b"\xff\xff"), "must be readable", id="broken-tensor"),
    pytest.param(file("a.txt"), "must be .npz, .npy, .pb", id="kind-of-file"),
    pytest.param(lambda folder: f"{folder}/none.npz", "there is none", id="no-file"),
    pytest.param(str, "must hold input_0.pb", id="empty-folder"),
    pytest.param(pair, "1 are there for 2", id="folder-lacks-one"),
    pytest.param(lambda _: "no_such_module_at_all:f", "must be importable.*ModuleNotFoundError", id="no-module"),
    pytest.param(written("def g(): pass"), "has no function 'f'", id="no-function"),
    pytest.param(written("def f(): raise ValueError('why')"), r"must not fail.*\(ValueError: why\)", id="fails"),
    pytest.param(written("def f(): return [1]"), "must return a mapping", id="returns-something-else"),
    pytest.param(written("def f(): return [{}, 1]"), "it returned several int", id="returns-another-thing-besides"),
    pytest.param(written("def f(): return []"), "must return a mapping.*it returned nothing", id="returns-none-of-it"),
    pytest.param(written("def f(): pass"), "must return a mapping.*it returned nothing", id="returns-nothing"),
    pytest.param(written("def f(): raise SystemExit(0)"), r"must not fail.*\(SystemExit: 0\)", id="ends-the-program"),
    pytest.param(written("raise SystemExit"), r"must be importable.*\(SystemExit", id="ends-the-program-at-import"),
    pytest.param(written("def f(): return {'x': [[1], [2, 3]], 'i': [1]}"), "'x' is none.*ValueError", id="ragged"),
    pytest.param(written("def f(:"), r"must be importable.*\(SyntaxError", id="syntax"),
]


@pytest.mark.parametrize(("source", "message"), UNFIT)
def test_what_does_not_fit_is_refused(source: Callable[[Path], str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        given(source(tmp_path))


def test_sizes_do_not_go_with_given_inputs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave the sizes out"):
        feeds_for(signature(), Feeding(source=str(named(tmp_path)), dims={"B": 3}))
