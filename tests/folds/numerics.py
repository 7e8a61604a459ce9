"""Folds whose numbers are out of the ordinary."""

from tests.folds.claims import hit, miss, norm

W: dict[str, tuple[int, ...]] = {"w": (4, 4, 3, 3)}
FOLDED = f"h = Conv(x, w)  y = {norm('h')}"

TABLE = [
    hit("tiny variances", FOLDED, "Conv", constants={**W, "variance": [1e-12, 0.0, 1e-20, 1e-6]}),
    hit("gains of zero", FOLDED, "Conv", constants={**W, "gamma": [0.0, 1.0, 0.0, -1.0]}),
    hit("all gains zero", FOLDED, "Conv", constants={**W, "gamma": [0.0] * 4}),
    hit("huge means", FOLDED, "Conv", constants={**W, "mean": [1e4, -3e4, 2e5, 0.0]}),
    hit("half precision", FOLDED, "Conv", constants=W, dtypes=("float16",)),
    hit("double precision", f"h = Gemm(x, w)  y = {norm('h')}", "Gemm", dims="B 6", constants={"w": (6, 4)},
        dtypes=("double",)),
    miss("weights that overflow half precision", FOLDED, "parameter-range", "beyond float16",
         constants={**W, "gamma": [60000.0, 1.0, 1.0, 1.0]}, dtypes=("float16",)),
    miss("weights that vanish in half precision", FOLDED, "parameter-range", "would lose",
         constants={**W, "gamma": [1e-6, 1.0, 1.0, 1.0]}, dtypes=("float16",)),
    miss("a negative variance", FOLDED, "parameter-range", "isn't positive",
         constants={**W, "variance": [-1.0, 1.0, 1.0, 1.0]},
         evaluated_in_double=False),
]  # fmt: skip
