"""A model with the facts about it, which are gathered anew only after a change."""

from __future__ import annotations

import onnx_ir as ir

from normgraph.facts import Facts, survey


class Surveyed:
    """A model whose functions are inlined, and what holds of it as it stands.

    Args:
        model: the model. Whoever changes it says so.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self._facts: Facts | None = None

    @property
    def facts(self) -> Facts:
        """The facts."""
        if self._facts is None:
            self._facts = survey(self.model)
        return self._facts

    def changed(self) -> None:
        """Note that what was known of the model holds no longer."""
        self._facts = None
