"""Autotuning: rewrites that don't pay on this machine are left out, and the decisions kept for the next time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from normgraph.errors import UsageError
from normgraph.feeds import Feeding
from normgraph.progress import Progress, silent
from normgraph.providers import PROVIDERS, provider_named
from normgraph.runtime import onnxruntime
from normgraph.sessions import Setting
from normgraph.timing import tuning
from normgraph.timing.comparable import ANYWHERE
from normgraph.timing.sites import SiteTimer


@contextmanager
def judging(
    target: str,
    provider: str | None = None,
    file: str | PathLike[str] | None = None,
    feeding: Feeding | None = None,
    progress: Progress = silent,
) -> Iterator[SiteTimer]:
    """Who decides which rewrites pay: a provider, by measuring, or a file of decisions, or both.

    With a provider, what the file doesn't know is measured, and added to it when the block ends well; what it knows
    from another version of ONNX Runtime is measured anew.  With a file alone nothing is measured, and what it doesn't
    know is rewritten: the same model and file give the same result.

    Args:
        target: the runtime that the rewrites are made for, with its version behind an @ or without.
        provider: what measures, a key of `normgraph.providers.PROVIDERS`; None to measure nothing.
        file: the decisions, None only with a provider; with one it needn't be there yet.
        feeding: what the model is fed, to see the shapes in it.
        progress: told how far it is.

    Raises:
        MissingProviderError: the provider isn't there.
        OutputError: the file can't be written.
        UsageError: the file isn't one of decisions, or is one for another provider; or the provider doesn't run what
            is made for the target.
    """
    name = target.partition("@")[0]
    decided = _decided(provider, file)
    row = PROVIDERS.get(decided.provider)
    if row is not None and name not in (ANYWHERE, row.target):
        raise UsageError(
            f"what is timed must be what is made: the provider {row.name} runs what is made for {row.target}, and "
            f"{target} is asked for; choose --target {row.target}"
        )
    # Shapes are the same everywhere, so that decisions can be repeated where their provider isn't.
    setting = Setting(PROVIDERS["cpu"] if provider is None else provider_named(provider))
    feeding = feeding or Feeding(sizes=1)
    yield SiteTimer(feeding, setting, decided, measures=provider is not None, progress=progress)
    if provider is not None and file is not None:
        decided.save(file)


def _decided(provider: str | None, file: str | PathLike[str] | None) -> tuning.Tuning:
    if file is None or (provider is not None and not Path(file).exists()):
        assert provider is not None
        return tuning.Tuning(provider)
    found = tuning.load(file)
    if provider is not None and found.provider != provider:
        raise UsageError(
            f"a tuning is for one provider: {file} was made on {found.provider}, and {provider} is asked for; "
            "name another file"
        )
    if provider is not None and found.runtime != onnxruntime().__version__:
        return tuning.Tuning(provider)  # one file tells of one version
    return found
