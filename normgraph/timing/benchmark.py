"""`bench`: some models side by side, on the same inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from normgraph.errors import RefusedError, UsageError
from normgraph.feeds import Feed, Feeding, feeds_for, signature_of
from normgraph.model_io import Source, as_model, save
from normgraph.model_io.external import data_files
from normgraph.progress import Progress, silent
from normgraph.providers import DEFAULT_PROVIDER, provider_named
from normgraph.runtime import onnxruntime
from normgraph.sessions import OpenedModel, Setting
from normgraph.timing.comparable import differences, foreign_target
from normgraph.timing.measuring import Plan, Times, comparisons, measured
from normgraph.timing.results import Benchmark, Figures, Level, Surroundings
from normgraph.timing.sites import site_timings
from normgraph.timing.statistics import is_settled, ratio_of

#: The levels of ONNX Runtime's optimizations that are told unless others are asked for.
DEFAULT_LEVELS = ("disabled", "all")


@dataclass(frozen=True)
class Contestant:
    """A model that takes part.

    Attributes:
        name: what it is called.
        model: as normgraph reads it.
        file: where ONNX Runtime finds it.
        size: bytes, external data included.
    """

    name: str
    model: ir.Model
    file: Path
    size: int


def bench(
    models: Source | Sequence[Source],
    *,
    provider: str = DEFAULT_PROVIDER,
    levels: Sequence[str] = DEFAULT_LEVELS,
    threads: int = 0,
    cuda_graphs: bool = False,
    feeding: Feeding | None = None,
    plan: Plan | None = None,
    per_site: bool = False,
    target: str | None = None,
    progress: Progress = silent,
) -> Benchmark:
    """Time models against the first of them, on the same inputs.

    Args:
        models: a model or several, each a path, a ``onnx.ModelProto``, an ``onnx_ir.Model`` or PyTorch's
            ``ONNXProgram``; they take the same inputs.
        provider: what runs them, a key of ``normgraph.providers.PROVIDERS``.
        levels: of ONNX Runtime's own graph optimizations, keys of ``normgraph.sessions.LEVELS``.
        threads: threads within an operator; 0 for as many as ONNX Runtime takes by itself.
        cuda_graphs: capture runs as CUDA graphs.
        feeding: what they are fed; by default ordinary numbers, made to fit the first model.  Of several feeds the
            first is taken.
        plan: how long each level is measured.
        per_site: also cut out each rewrite that ``optimize`` would make of the first model, and time it by itself, at
            the last of the levels.
        target: the runtime that these rewrites are made for; by default the provider's.
        progress: called with what is being done, how many rounds are done, and how many there will be.

    Raises:
        BadModelError: a model can't be read.
        MissingProviderError: the provider isn't part of the installed ONNX Runtime, or doesn't start.
        MissingRuntimeError: no ONNX Runtime is installed.
        RefusedError: ONNX Runtime refuses a model.
        UsageError: there is no such provider or level, or the inputs don't fit.
    """
    several: list[Source] = list(models) if isinstance(models, list | tuple) else [models]  # type: ignore[list-item]
    if not several or not levels:
        raise UsageError("there must be a model and a level to measure, and one is missing; name one")
    plan, feeding = plan or Plan(), feeding or Feeding()
    settings = [Setting(provider_named(provider), level, threads, cuda_graphs) for level in levels]
    with contestants(several) as found:
        feed = feed_for(found[0], feeding, settings[0])
        told = tuple(_level(found, feed, setting, plan, progress) for setting in settings)
        wanted, last = target or settings[-1].provider.target, replace(settings[-1], graphs=False)
        sites = site_timings(found[0].model, wanted, feeding, last, progress) if per_site else None
        return Benchmark(
            models=tuple(contestant.name for contestant in found),
            sizes=tuple(contestant.size for contestant in found),
            inputs=tuple((name, array.dtype.name, array.shape) for name, array in feed.arrays.items()),
            fed=feed.label,
            surroundings=Surroundings(provider, onnxruntime().__version__, threads, os.cpu_count() or 1, cuda_graphs),
            precision=plan.precision,
            budget=plan.budget,
            seed=plan.seed,
            levels=told,
            sites=sites,
            notes=(
                *differences([(contestant.name, contestant.model) for contestant in found]),
                *(foreign_target(wanted, last.provider) if per_site else ()),
            ),
        )


@contextmanager
def contestants(sources: Sequence[Source]) -> Iterator[list[Contestant]]:
    """The models as files; those that are none are written to a folder that goes when the block ends.

    Raises:
        BadModelError: one can't be read.
    """
    with TemporaryDirectory(prefix="normgraph-") as folder:
        found: list[Contestant] = []
        for position, source in enumerate(sources):
            model = as_model(source)
            if isinstance(source, str | os.PathLike):
                file, name = Path(source), os.fspath(source)
            else:
                file, name = Path(folder) / f"{position}.onnx", model.graph.name or f"model {position + 1}"
                save(model, file)
                model = as_model(file)
            size = file.stat().st_size + sum(data.size for data in data_files(model))
            found.append(Contestant(name, model, file, size))
        yield found


def feed_for(contestant: Contestant, feeding: Feeding, setting: Setting) -> Feed:
    """What a model is fed; where its dimensions are dynamic, at sizes at which it runs.

    Raises:
        RefusedError: every size was given, and it doesn't run at them.
        UsageError: the inputs don't fit, or it runs at none of the sizes.
    """
    signature = signature_of(contestant.model, contestant.name)
    refusals: list[RefusedError] = []

    def accepts(feed: Feed) -> bool:
        try:
            OpenedModel(contestant.file, feed.arrays, setting, contestant.name).run()
        except RefusedError as error:
            refusals.append(error)
            return False
        return True

    try:
        return feeds_for(signature, feeding, accepts if signature.symbols else None)[0]
    except UsageError:
        if refusals and set(signature.symbols) <= set(feeding.dims):  # no other size can be asked for
            raise refusals[-1] from None
        raise


def _level(models: Sequence[Contestant], feed: Feed, setting: Setting, plan: Plan, progress: Progress) -> Level:
    placements: dict[int, Mapping[str, int]] = {}

    def opener(position: int, model: Contestant) -> Callable[[], OpenedModel]:
        def opened() -> OpenedModel:
            result = OpenedModel(model.file, feed.arrays, setting, model.name)
            if position not in placements:
                placements[position] = result.placement()
            return result

        return opened

    openers = [opener(position, model) for position, model in enumerate(models)]
    times = measured(openers, plan, task=f"timing, optimizations {setting.level}", progress=progress)
    return Level(
        setting.level,
        tuple(_figures(times, position, plan.precision, placements[position]) for position in range(len(models))),
        is_settled(comparisons(times), plan.precision),
    )


def _figures(times: Sequence[Times], position: int, precision: float, placement: Mapping[str, int]) -> Figures:
    if not position:
        return Figures(times[0], None, None, placement)
    ratio = ratio_of(times[position].ratios(times[0]))
    return Figures(times[position], ratio, ratio.verdict(precision), placement)
