"""The rewrites as passes of onnx_ir, to be mixed with its own and onnxscript's.

>>> import onnx_ir.passes, onnx_ir.passes.common as common
>>> from normgraph.ir_passes import FoldBatchNormalization, FuseNormalizations
>>> pipeline = onnx_ir.passes.Sequential(
...     common.IdentityEliminationPass(), FuseNormalizations(target="onnxruntime"), FoldBatchNormalization()
... )
"""

from __future__ import annotations

from abc import abstractmethod

import onnx
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult, PostconditionError, PreconditionError

from normgraph.errors import UsageError
from normgraph.folding import fold_batch_normalizations
from normgraph.inventory import Fold, Site
from normgraph.passes import fuse_normalizations, inlined
from normgraph.targets import DEFAULT_TARGET, demand


class _Rewrite(InPlacePass):
    """A pass that rewrites a model whose local functions are put in the place of their calls.

    Where nothing is rewritten the functions stay, and the model isn't changed at all.
    """

    def __init__(self) -> None:
        self._interface: tuple[tuple[str | None, ...], ...] = ()

    @abstractmethod
    def rewrite(self, model: ir.Model) -> bool:
        """Rewrite a model without functions, and return whether anything was changed."""

    def requires(self, model: ir.Model) -> None:
        """The model must import a default opset that the installed onnx knows.

        Raises:
            PreconditionError: it doesn't.
        """
        newest = onnx.defs.onnx_opset_version()
        version = model.opset_imports.get("")
        if version is None or not 1 <= version <= newest:
            raise PreconditionError(
                f"a model must import a version of the default opset from 1 to {newest}, not {version}: "
                f"'{model.graph.name}'; export it to one of them"
            )
        self._interface = _interface(model)

    def call(self, model: ir.Model) -> PassResult:
        """Rewrite the model in place.

        Raises:
            BadModelError: its functions can't be put in the place of their calls.
        """
        work = inlined(model)
        modified = self.rewrite(work)
        if modified and work is not model:
            model.graph = work.graph
            model.ir_version = work.ir_version
            model.functions.clear()
        return PassResult(model, modified)

    def ensures(self, model: ir.Model) -> None:
        """The model's inputs and outputs are the ones that it had, in their order.

        Raises:
            PostconditionError: they aren't.
        """
        if _interface(model) != self._interface:
            raise PostconditionError(f"a rewrite may not change inputs or outputs: '{model.graph.name}'")


def _interface(model: ir.Model) -> tuple[tuple[str | None, ...], ...]:
    return tuple(value.name for value in model.graph.inputs), tuple(value.name for value in model.graph.outputs)


class FuseNormalizations(_Rewrite):
    """Fuses every decomposed normalization that the target has an operator for, each rewrite proven by numbers.

    Args:
        target: the runtime, a key of ``normgraph.targets.TARGETS``, with its version behind an @ where that matters.
        opset: the opset that rewrites may use; the model's is raised no further than they need. By default it is raised
            only if a rewrite is worth it.
        allow_contrib: permit operators that aren't in the ONNX standard where the target has them.

    Attributes:
        sites: after a call, every normalization of the model and what became of it.

    Raises:
        UsageError: there is no such target or opset.
    """

    def __init__(self, target: str = DEFAULT_TARGET, *, opset: int | None = None, allow_contrib: bool = False) -> None:
        super().__init__()
        newest = onnx.defs.onnx_opset_version()
        if opset is not None and not 1 <= opset <= newest:
            raise UsageError(f"there is no opset {opset}: the onnx in use knows 1 to {newest}; ask for one of them")
        self._demand, self._opset = demand(target, contrib=allow_contrib), opset
        self.sites: tuple[Site, ...] = ()

    def rewrite(self, model: ir.Model) -> bool:
        """See `normgraph.passes.fuse_normalizations`."""
        self.sites = tuple(fuse_normalizations(model, self._demand, opset=self._opset))
        return any(site.status == "fused" for site in self.sites)


class FoldBatchNormalization(_Rewrite):
    """Folds BatchNormalizations and other maps per channel into linear operators beside them, each fold proven.

    Attributes:
        folds: after a call, what was folded, and every BatchNormalization that is left with the reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folds: tuple[Fold, ...] = ()

    def rewrite(self, model: ir.Model) -> bool:
        """See `normgraph.folding.fold_batch_normalizations`."""
        self.folds = tuple(fold_batch_normalizations(model))
        return any(fold.status == "folded" for fold in self.folds)
