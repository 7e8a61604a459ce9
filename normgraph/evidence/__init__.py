"""Evidence: is a rewrite right?  Its preconditions, and the original region and its replacement in numbers.

Comparing the two with each other would punish the more accurate one, so both are compared with the original region
computed in float64.  A replacement is accepted if every precondition holds and, on every family of inputs, its error
isn't larger than `FACTOR` times the original's or `ULPS` units in the last place, of the result or of the input.
In half precision, whose units are large, the two also have to agree in float64.
"""

from normgraph.evidence.conducting import compare, conduct, prove
from normgraph.evidence.experiment import PLACES, Candidate, Defined, Experiment, Modelled, experiment
from normgraph.evidence.measuring import FACTOR, ULPS, Ulps
from normgraph.evidence.once_each import OnceEach
from normgraph.evidence.preconditions import Precondition, broken
from normgraph.evidence.record import SEED, Evidence, Overflow, Trial, joined
from normgraph.evidence.sizes import SMALL, assignments

__all__ = [
    "FACTOR",
    "PLACES",
    "SEED",
    "SMALL",
    "ULPS",
    "Candidate",
    "Defined",
    "Evidence",
    "Experiment",
    "Modelled",
    "OnceEach",
    "Overflow",
    "Precondition",
    "Trial",
    "Ulps",
    "assignments",
    "broken",
    "compare",
    "conduct",
    "experiment",
    "joined",
    "prove",
]
