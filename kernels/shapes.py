"""The rules that ONNX lays down for axes and shapes, checked before anything is computed."""

from __future__ import annotations

from math import prod

from normgraph.kernels.precision import Array


def within(operator: str, axis: int, x: Array) -> int:
    """The axis counted from the front.

    Raises:
        ValueError: the axis isn't one of x's.
    """
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"{operator}: axis must lie within [-r, r), r the rank of X; it is {axis}, X has shape {x.shape}"
        )
    return axis % x.ndim


def trailing(operator: str, axis: int, x: Array) -> tuple[int, ...]:
    """The axis and all behind it, which LayerNormalization and RMSNormalization normalize over.

    Raises:
        ValueError: the axis isn't one of x's.
    """
    return tuple(range(within(operator, axis, x), x.ndim))


def require_rank(operator: str, x: Array, least: int) -> None:
    """Check that x has batch and channel axes and, at rank 3, something to average over within a channel.

    Raises:
        ValueError: its rank is less than `least`.
    """
    if x.ndim < least:
        raise ValueError(f"{operator}: X must have at least {least} axes (batch, channel, …); it has shape {x.shape}")


def require_broadcast(operator: str, name: str, operand: Array | None, x: Array) -> None:
    """Check unidirectional broadcasting: the operand must take x's shape, never the other way round.

    Raises:
        ValueError: the operand has more axes than x, or an extent that is neither 1 nor x's.
    """
    if operand is None:
        return
    against = x.shape[x.ndim - operand.ndim :] if operand.ndim <= x.ndim else None
    if against is None or any(n not in (1, m) for n, m in zip(operand.shape, against, strict=True)):
        raise ValueError(
            f"{operator}: {name} must broadcast to X unidirectionally; "
            f"{name} has shape {operand.shape}, X has shape {x.shape}"
        )


def per_channel(operator: str, name: str, vector: Array, x: Array) -> Array:
    """A vector of one number for each channel, shaped (C, 1, …, 1) so that it broadcasts along axis 1 of x.

    Raises:
        ValueError: its shape isn't (C,).
    """
    if vector.shape != x.shape[1:2]:
        raise ValueError(
            f"{operator}: {name} must have shape (C,) = {x.shape[1:2]}, one number for each channel of X; "
            f"{name} has shape {vector.shape}, X has shape {x.shape}"
        )
    return vector.reshape(-1, *(1,) * (x.ndim - 2))


def require_population(operator: str, x: Array, axes: tuple[int, ...]) -> None:
    """Check that there is something to take statistics of.

    Raises:
        ValueError: one of `axes` has extent zero, so that the mean is 0/0.
    """
    if prod(x.shape[axis] for axis in axes) == 0:
        raise ValueError(f"{operator}: the mean over no elements is undefined; X has shape {x.shape}, axes {axes}")
