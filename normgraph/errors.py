"""The errors that normgraph raises on purpose: one root class, and a subclass for each thing a caller can do.

Every message names the rule that was broken, then the model, node and shapes concerned, then what to do,
in one line, so that the command line can print it as it is.
"""


class NormgraphError(Exception):
    """Root of every error that normgraph raises on purpose."""


class NotRepresentable(NormgraphError):
    """A value that the algebra has no form for; `rule` is the stable code of what stands in the way."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class BadModelError(NormgraphError):
    """The model can't be read, or what was read isn't a model that normgraph can work on."""


class OutputError(NormgraphError):
    """The model can't be written where it was asked to be."""


class MissingRuntimeError(NormgraphError, ImportError):
    """No build of ONNX Runtime is installed."""


class MissingProviderError(NormgraphError):
    """The installed ONNX Runtime lacks an execution provider, or can't start it on this machine."""


class MissingExtraError(NormgraphError):
    """A package isn't installed that only one of normgraph's extras brings."""


class RefusedError(NormgraphError):
    """ONNX Runtime refuses a model, or fails when it runs it."""


class OpsetError(NormgraphError):
    """The model's opset can't be raised as asked without changing what some node computes."""


class VerificationError(NormgraphError):
    """The rewritten model doesn't compute what the model computes."""


class UsageError(NormgraphError):
    """What was asked for doesn't exist or doesn't go together."""
