"""Running small models: in ONNX Runtime, its own optimizations off, or in onnx's reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import helper, shape_inference
from threadpoolctl import ThreadpoolController

from normgraph.constants import Array
from normgraph.errors import NormgraphError
from normgraph.runtime import first_line, onnxruntime

#: Arithmetic, comparison and shape operators: ONNX Runtime computes them in float64 as NumPy does, ten times as fast as
#: onnx's reference evaluator.
PLAIN = frozenset(
    ["Abs", "Add", "And", "Cast", "Clip", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Flatten", "Gather",
     "Identity", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin",
     "ReduceProd", "ReduceSum", "ReduceSumSquare", "Reshape", "Shape", "Slice", "Sqrt", "Squeeze", "Sub", "Sum",
     "Transpose", "Unsqueeze", "Where"]
)  # fmt: skip


class NotRunnable(NormgraphError):
    """A model that a runtime refuses."""


class Runner(Protocol):
    """Computes a model's first output."""

    def __call__(self, feed: Mapping[str, Array]) -> Array:
        """The output for these inputs; names that the model hasn't got are passed over.

        Raises:
            NotRunnable: the runtime refuses the inputs.
        """
        ...


class Session:
    """A model in ONNX Runtime's CPU provider, on one thread, its graph optimizations off.

    Many are open at once, each on small tensors, so that arenas and plans of where tensors lie in them cost more than
    they save.

    Raises:
        NotRunnable: ONNX Runtime refuses the model.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        try:
            serialized = model.SerializeToString()
            self._session = runtime.InferenceSession(
                serialized, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as failure:  # ONNX Runtime's exceptions have no common root of their own
            raise NotRunnable(f"ONNX Runtime refuses it: {first_line(failure)}") from failure
        self._names = {item.name for item in self._session.get_inputs()}

    def __call__(self, feed: Mapping[str, Array]) -> Array:
        """See `Runner`."""
        try:
            return np.asarray(self._session.run(None, {n: a for n, a in feed.items() if n in self._names})[0])
        except Exception as failure:
            raise NotRunnable(f"ONNX Runtime fails on it: {first_line(failure)}") from failure


class Reference:
    """A model in onnx's reference evaluator.

    Raises:
        NotRunnable: it has no implementation of an operator.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx.reference import ReferenceEvaluator  # which most proofs do without

        from normgraph.reference_operators import OPERATORS

        try:
            self._evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
        except Exception as failure:
            raise NotRunnable(f"onnx's reference evaluator refuses it: {first_line(failure)}") from failure
        self._names = set(self._evaluator.input_names)
        self._dtype = helper.tensor_dtype_to_np_dtype(model.graph.output[0].type.tensor_type.elem_type)

    def __call__(self, feed: Mapping[str, Array]) -> Array:
        """See `Runner`."""
        try:
            with np.errstate(all="ignore"):
                outputs: Any = self._evaluator.run(None, {n: a for n, a in feed.items() if n in self._names})
                result = np.asarray(outputs[0])
        except Exception as failure:
            raise NotRunnable(f"onnx's reference evaluator fails on it: {first_line(failure)}") from failure
        if result.dtype != self._dtype:
            raise NotRunnable(f"onnx's reference evaluator makes {result.dtype} of what is to be {self._dtype}")
        return result


def one_thread() -> AbstractContextManager[Any]:
    """NumPy's products on one thread: small ones are slower on several, which wait for each other in busy loops.

    Nor do the last digits of results depend on the number of cores then.
    """
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limited


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def runner_of(model: onnx.ModelProto) -> Runner:
    """The model in ONNX Runtime; in the reference evaluator where types or operators are missing there.

    ONNX Runtime also refuses types that don't go together.  The reference evaluator converts them as NumPy does, so
    they are checked before.

    Raises:
        NotRunnable: neither computes it, or types don't go together.
    """
    types = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    if onnx.TensorProto.BFLOAT16 not in types:  # NumPy has none, so ONNX Runtime can't be fed it
        try:
            return Session(model)
        except NotRunnable:
            pass
    return Reference(well_typed(model))


def well_typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, if types go together as far as operators have schemas.

    Raises:
        NotRunnable: an operator reads types that it doesn't take, or a result isn't of the type that is declared.
    """
    try:
        shape_inference.infer_shapes(model, check_type=True)
    except shape_inference.InferenceError as failure:
        raise NotRunnable(f"types don't go together: {first_line(failure)}") from failure
    return model


def truth_of(model: onnx.ModelProto, constants: Mapping[str, Array]) -> Runner:
    """A model in float64: in ONNX Runtime where it is plain arithmetic, else in onnx's reference evaluator.

    Args:
        model: the model.
        constants: what some of its inputs are fed whenever it is run.
    """
    plain = all(node.op_type in PLAIN and not node.domain for node in model.graph.node)
    return fed(runner_of(model) if plain else Reference(model), constants)


def fed(runner: Runner, constants: Mapping[str, Array]) -> Runner:
    """The same, fed these as well whenever it is run."""
    return (lambda feed: runner({**feed, **constants})) if constants else runner
