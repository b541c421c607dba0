"""`nmm eval retrieval`: measures searches with queries whose relevant files are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.commands.eval.common import (
    CsvOption,
    LimitsOption,
    ResamplesOption,
    SeedOption,
    exit_with_status,
    report,
    report_bad_lines,
    skipped_as_json,
)
from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.framework import completion
from nmm.cli.options.common import (
    DeviceOption,
    IndexOption,
    JsonOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.cli.options.filtered import Among, filtered
from nmm.cli.options.filters import tell_emptied
from nmm.cli.render.formats import only_one
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.search.query import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmm.cli.render.evaluations import Comparison
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation.judgments import Judgments
    from nmm.index.evaluation.retrieval import Retrieval
    from nmm.index.store.layout import IndexFolder


@filtered
def retrieval(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CAPTIONS.jsonl",
            help='JSON lines such as {"query": "a cat", "relevant": ["chelsea.jpg"]}. Paths are '
            "absolute, or relative to the file.",
        ),
    ],
    mode: Annotated[
        Mode, typer.Option("--mode", help="Rank by meaning and keywords, or by one of them.")
    ] = Mode.HYBRID,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|DIR",
            help="Model to measure on the files of the index, which are embedded with it once. "
            "Repeat the option to compare with the first.",
            autocompletion=completion.models,
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", metavar="DIR", help="Compare another index with the first."),
    ] = None,
    index_path: IndexOption = None,
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
    *,
    among: Among,
) -> None:
    """Measure searches of the index with queries whose relevant files are known.

    Prints recall at 1, 5 and 10, the mean reciprocal rank (MRR) of 50 results, and nDCG@10, with
    95 % confidence intervals.
    """
    from nmm.cli.render import evaluations
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation.bootstrap import Sampling
    from nmm.index.evaluation.judgments import read_judgments
    from nmm.index.evaluation.retrieval import METRICS, evaluate_retrieval
    from nmm.index.store.layout import index_folder

    only_one({"--json": as_json, "--csv": as_csv})
    limits = evaluations.parse_limits(fail_under or (), METRICS)
    filters = among.typed.read()
    judgments = read_judgments(file)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        folders = [index_folder(index_path)]
        if model:
            folders = [
                _index_with(folders[0], name, backend, offline, progress)
                for name in dict.fromkeys(model)
            ]
        folders += [index_folder(path) for path in compare or ()]
        found = []
        for folder in dict.fromkeys(folders):
            queries = len(folders) * len(judgments.relevant)
            progress.advance("Searching", 0, queries, unit="queries")
            found.append(
                evaluate_retrieval(
                    folder,
                    judgments.relevant,
                    among.kinds,
                    filters=filters,
                    mode=mode,
                    backend=backend,
                    on_answered=lambda: progress.advance("Searching"),
                )
            )
    common = _common_queries(found)
    if not common:
        for line in tell_emptied(found[0].emptied, among.typed, among.kinds):
            typer.echo(line, err=True)
        typer.echo("The filters exclude all relevant files of every query.", err=True)
        raise typer.Exit(Exit.NOTHING_FOUND)
    names = evaluations.unique_names([(one.model, one.index) for one in found])
    systems = [
        evaluations.System(name, one.statistics(common), _about_index(one))
        for name, one in zip(names, found, strict=True)
    ]
    comparison = evaluations.compare_systems(METRICS, systems, Sampling(resamples, seed=seed))
    missed = evaluations.missed_limits(comparison, limits)
    if as_json:
        emit(_as_json(file, mode, common, judgments, comparison, missed))
    elif as_csv:
        _print_csv(names, found)
    else:
        emit(f"{_summarize(common, found[0], mode)}\n\n{evaluations.format_table(comparison)}")
    if not quiet:
        _report_problems(judgments, found)
    exit_with_status(missed, skipped=bool(judgments.bad or any(one.unknown for one in found)))


def _common_queries(found: Sequence[Retrieval]) -> list[str]:
    """Return the queries that every index answered: filters may exclude others in each."""
    return [
        one.query
        for one in found[0].answered
        if all(one.query not in other.without for other in found)
    ]


def _as_json(
    file: Path,
    mode: Mode,
    queries: Sequence[str],
    judgments: Judgments,
    comparison: Comparison,
    missed: Sequence[dict[str, Any]],
) -> str:
    from nmm.cli.render import evaluations
    from nmm.index.evaluation.retrieval import DEPTH

    about = {
        "file": str(file.absolute()),
        "mode": mode.value,
        "depth": DEPTH,
        "queries": len(queries),
        **skipped_as_json(judgments.bad),
    }
    return evaluations.format_json("retrieval", comparison, about, missed)


def _print_csv(names: Sequence[str], found: Sequence[Retrieval]) -> None:
    """Print the metrics of each query."""
    from nmm.cli.render import evaluations
    from nmm.index.evaluation.retrieval import METRICS

    evaluations.print_csv(
        ("name", "query", "relevant", "ranks", *METRICS),
        (
            (name, query.query, query.relevant, json.dumps(query.ranks), *query.metrics)
            for name, one in zip(names, found, strict=True)
            for query in one.answered
        ),
    )


def _summarize(queries: Sequence[str], first: Retrieval, mode: Mode) -> str:
    relevant = sum(query.relevant for query in first.answered) / len(first.answered)
    return (
        f"{len(queries):,} queries, {relevant:.1f} relevant files each, among {first.files:,} "
        f"files, mode {mode.value}"
    )


def _report_problems(judgments: Judgments, found: Sequence[Retrieval]) -> None:
    """Report invalid lines, and relevant files that are unknown or excluded by filters."""
    report_bad_lines(judgments.bad)
    for one in found:
        index = one.index if len(found) > 1 else "the index"
        count = len(one.unknown)
        heading = f"{count:,} relevant {'path is' if count == 1 else 'paths are'} not in {index}"
        report(f"{heading} and {'counts' if count == 1 else 'count'} as not found:", one.unknown)
    if outside := found[0].outside:
        typer.echo(f"{outside:,} relevant files are excluded by the filters.", err=True)
    report("Queries whose relevant files are all excluded by the filters:", found[0].without)


def _index_with(
    folder: IndexFolder, model: str, backend: Backend, offline: bool, progress: Progress
) -> IndexFolder:
    """Return an up-to-date index of the same files with another model."""
    from nmm.cli.console.signals import stopping
    from nmm.index.evaluation.reference_index import build_reference_index

    with stopping() as stop:
        reference, summary = build_reference_index(
            folder,
            model,
            backend=backend,
            offline=offline,
            on_event=progress.on_event,
            stop=stop,
        )
    if summary and summary.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    return reference


def _about_index(one: Retrieval) -> dict[str, Any]:
    """Return the JSON fields of a searched index."""
    from nmm.index.evaluation.retrieval import METRICS

    return {
        "model": one.model,
        "dimension": one.dimension,
        "index": one.index,
        "files": one.files,
        "unknown": one.unknown,
        "outside": one.outside,
        "without": one.without,
        "queries": [
            {
                "query": answered.query,
                "relevant": answered.relevant,
                "ranks": answered.ranks,
                "metrics": dict(zip(METRICS, answered.metrics, strict=True)),
            }
            for answered in one.answered
        ],
    }
