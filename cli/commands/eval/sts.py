"""`nmm eval sts`: similarities of sentences, where people said how alike they are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.commands.eval.common import (
    CsvOption,
    LimitsOption,
    ModelsOption,
    ResamplesOption,
    SeedOption,
    bad_lines,
    encoders,
    end,
    tell_lines,
)
from nmm.cli.options.common import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.cli.render.formats import only_one
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.base import Task


def sts(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Pairs, as TSV, CSV or JSON lines with sentence1, sentence2 and score.",
        ),
    ],
    model: ModelsOption = None,
    task: Annotated[
        Task,
        typer.Option("--task", help="What sentences are embedded for, which decides a prefix."),
    ] = Task.CLASSIFICATION,
    fail_under: LimitsOption = None,
    resamples: ResamplesOption = 2000,
    seed: SeedOption = 0,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    precision: PrecisionOption = Precision.FP32,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure whether sentences that people find alike have near vectors, as MTEB does.

    Spearman's and Pearson's coefficients of the cosines with people's scores, with 95 %
    intervals.
    """
    from nmm.cli.console.stdout import emit
    from nmm.cli.render import evaluations
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation import sts as s
    from nmm.index.evaluation.bootstrap import Sampling

    only_one({"--json": as_json, "--csv": as_csv})
    wanted = evaluations.limits(fail_under or (), s.METRICS)
    pairs = s.read_pairs(file)
    unique = len({sentence for pair in pairs.sentences for sentence in pair})
    with Progress(quiet=quiet) as progress:
        found = []
        for encoder in encoders(model, Backend(device, threads, precision), offline, progress):
            about = f"Embedding with {encoder.model.name}"
            progress.advance(about, 0, unique, unit="sentences")
            embedded = partial(progress.advance, about)
            found.append(s.evaluate_similarity(pairs, encoder, task, on_embedded=embedded))
    systems = [
        evaluations.System(
            one.model,
            one.statistics(pairs.scores),
            {"model": one.model, "dimension": one.dimension},
        )
        for one in found
    ]
    figures = evaluations.measured(s.METRICS, systems, Sampling(resamples, seed=seed))
    below = evaluations.missed(figures, wanted)
    if as_json:
        about_file = {
            "file": str(file.absolute()),
            "pairs": len(pairs.scores),
            "task": task.value,
            **bad_lines(pairs.bad),
        }
        emit(evaluations.as_json("sts", figures, about_file, below))
    elif as_csv:
        evaluations.print_csv(
            ("name", *s.COLUMNS, "cosine"),
            (
                (one.model, *both, score, float(cosine))
                for one in found
                for both, score, cosine in zip(
                    pairs.sentences, pairs.scores, one.cosines, strict=True
                )
            ),
        )
    else:
        emit(f"{len(pairs.scores):,} pairs of sentences\n\n{evaluations.table(figures)}")
    if not quiet:
        tell_lines(pairs.bad)
    end(below, skipped=bool(pairs.bad))
