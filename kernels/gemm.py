"""Gemm: the matrix product with a scaled summand."""

from __future__ import annotations

import numpy as np

from normgraph.kernels.precision import BLOCK_ELEMENTS, Array, require_floating


def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transpose_a: bool = False,
    transpose_b: bool = False,
) -> Array:
    """General matrix product, y = alpha·A·B + beta·C.

    Args:
        a: A, (M, K), or (K, M) with transpose_a; floating.
        b: B, (K, N), or (N, K) with transpose_b.
        c: C, broadcasts to (M, N). None stands for 0.
        alpha: the factor of the product, a pure number.
        beta: the factor of C, a pure number.
        transpose_a: ONNX's transA.
        transpose_b: ONNX's transB.

    Returns:
        y, (M, N) in a's dtype; computed in float64 and rounded once. The operands' dtypes may differ. ONNX
        allows integers too; they are refused here. Memory beyond B and the result is bounded by a block of
        rows.

    Raises:
        ValueError: A or B isn't a matrix, the inner extents differ, C doesn't broadcast to (M, N), or a dtype
            isn't floating.

    Source: ONNX Gemm-7, -9, -11 and -13.

    >>> import numpy as np
    >>> gemm(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array(10.0), alpha=2.0, beta=0.5)
    array([[27.]])
    """
    operator = "Gemm"
    require_floating(operator, A=a, B=b, C=c)
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"{operator}: A and B must be matrices; they have shapes {a.shape} and {b.shape}")
    left = a.T if transpose_a else a
    right = (b.T if transpose_b else b).astype(np.float64)
    if left.shape[1] != right.shape[0]:
        raise ValueError(
            f"{operator}: the inner extents must agree; after transposition A has shape {left.shape}, B {right.shape}"
        )
    shape = (left.shape[0], right.shape[1])
    if c is not None and (c.ndim > 2 or any(n not in (1, m) for n, m in zip(c.shape[::-1], shape[::-1], strict=False))):
        raise ValueError(f"{operator}: C must broadcast to A·B unidirectionally; C has shape {c.shape}, A·B {shape}")
    summand = None if c is None else np.broadcast_to(c, shape)
    y = np.empty(shape, a.dtype)
    step = max(1, BLOCK_ELEMENTS // max(left.shape[1], shape[1], 1))
    with np.errstate(all="ignore"):
        for start in range(0, shape[0], step):
            rows = slice(start, start + step)
            product = left[rows].astype(np.float64) @ right * alpha
            y[rows] = product if summand is None else product + summand[rows].astype(np.float64) * beta
    return y
