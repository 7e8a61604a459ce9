"""The exit statuses, and which of them an error has."""

from __future__ import annotations

from normgraph.errors import NormgraphError, OpsetError, VerificationError

DONE, NOT_GRANTED, BAD_INPUT, INTERNAL_ERROR, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 70, 130, 141, 143

#: The errors that mean that a requested guarantee doesn't hold.
BROKEN_GUARANTEES = (OpsetError, VerificationError)


def status_of(kind: type[BaseException]) -> int:
    """The exit status of an error, 70 where it is a mistake of normgraph's own."""
    if issubclass(kind, BROKEN_GUARANTEES):
        return NOT_GRANTED
    return BAD_INPUT if issubclass(kind, NormgraphError) else INTERNAL_ERROR
