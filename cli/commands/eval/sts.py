"""`nmm eval sts`: measures sentence similarities against human scores."""

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
    exit_with_status,
    open_encoders,
    report_bad_lines,
    skipped_as_json,
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
            help="Sentence pairs as TSV, CSV or JSON lines with sentence1, sentence2 and score.",
        ),
    ],
    model: ModelsOption = None,
    task: Annotated[
        Task,
        typer.Option("--task", help="Task of the sentences, which determines the prefix."),
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
    """Measure whether similar sentences have near vectors, as MTEB does.

    Prints Spearman's and Pearson's correlation of the cosines with human scores, with 95 %
    confidence intervals.
    """
    from nmm.cli.console.stdout import emit
    from nmm.cli.render import evaluations
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation import sts as s
    from nmm.index.evaluation.bootstrap import Sampling

    only_one({"--json": as_json, "--csv": as_csv})
    limits = evaluations.parse_limits(fail_under or (), s.METRICS)
    pairs = s.read_pairs(file)
    unique = len({sentence for pair in pairs.sentences for sentence in pair})
    with Progress(quiet=quiet) as progress:
        found = []
        for encoder in open_encoders(model, Backend(device, threads, precision), offline, progress):
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
    comparison = evaluations.compare_systems(s.METRICS, systems, Sampling(resamples, seed=seed))
    missed = evaluations.missed_limits(comparison, limits)
    if as_json:
        about_file = {
            "file": str(file.absolute()),
            "pairs": len(pairs.scores),
            "task": task.value,
            **skipped_as_json(pairs.bad),
        }
        emit(evaluations.format_json("sts", comparison, about_file, missed))
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
        emit(f"{len(pairs.scores):,} pairs of sentences\n\n{evaluations.format_table(comparison)}")
    if not quiet:
        report_bad_lines(pairs.bad)
    exit_with_status(missed, skipped=bool(pairs.bad))
