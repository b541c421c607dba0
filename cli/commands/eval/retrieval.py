"""`nmm eval retrieval`: searches measured by queries whose answers are known."""

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
    bad_lines,
    end,
    tell,
    tell_lines,
)
from nmm.cli.console.exit_codes import Exit
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
from nmm.index.encoders.runtime.backend import Backend, Device, Precision
from nmm.index.search.query import Mode

if TYPE_CHECKING:
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation.retrieval import Retrieval
    from nmm.index.store.layout import IndexFolder


@filtered
def retrieval(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CAPTIONS.jsonl",
            help='Lines such as {"query": "a cat", "relevant": ["chelsea.jpg"]}; paths are '
            "absolute, or relative to the file.",
        ),
    ],
    mode: Annotated[
        Mode, typer.Option("--mode", help="Rank by words and meaning, or by one of them.")
    ] = Mode.HYBRID,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|DIR",
            help="Measure this model on the files of the index, which are embedded with it once; "
            "several are compared with the first.",
            autocompletion=completion.models,
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", metavar="DIR", help="Another index, compared with the first."),
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
    """Measure searches of the index by queries whose answers are known.

    Recall among the first 1, 5 and 10 results, the mean of 1 / the rank of the first right one
    (MRR, of 50 results), and nDCG@10, with 95 % intervals.
    """
    from nmm.cli.console.stdout import emit
    from nmm.cli.render import evaluations
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation import retrieval as r
    from nmm.index.evaluation.bootstrap import Sampling
    from nmm.index.evaluation.judgments import read_judgments
    from nmm.index.store.layout import index_folder

    only_one({"--json": as_json, "--csv": as_csv})
    wanted = evaluations.limits(fail_under or (), r.METRICS)
    filters = among.typed.read()
    captions = read_judgments(file)
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
            progress.advance("Searching", 0, len(folders) * len(captions.relevant), unit="queries")
            found.append(
                r.evaluate_retrieval(
                    folder,
                    captions.relevant,
                    among.kinds,
                    filters=filters,
                    mode=mode,
                    backend=backend,
                    on_answered=lambda: progress.advance("Searching"),
                )
            )
    # Filters may leave other files, and other queries, in another index.
    common = [
        one.query
        for one in found[0].answered
        if all(one.query not in other.without for other in found)
    ]
    if not common:
        for line in tell_emptied(found[0].emptied, among.typed, among.kinds):
            typer.echo(line, err=True)
        typer.echo("The filters leave nothing right to any query.", err=True)
        raise typer.Exit(Exit.NOTHING_FOUND)
    names = evaluations.named_apart([(one.model, one.index) for one in found])
    systems = [
        evaluations.System(name, one.statistics(common), _about_index(one))
        for name, one in zip(names, found, strict=True)
    ]
    figures = evaluations.measured(r.METRICS, systems, Sampling(resamples, seed=seed))
    below = evaluations.missed(figures, wanted)
    if as_json:
        about = {
            "file": str(file.absolute()),
            "mode": mode.value,
            "depth": r.DEPTH,
            "queries": len(common),
            **bad_lines(captions.bad),
        }
        emit(evaluations.as_json("retrieval", figures, about, below))
    elif as_csv:
        evaluations.print_csv(
            ("name", "query", "relevant", "ranks", *r.METRICS),
            (
                (name, a.query, a.relevant, json.dumps(a.ranks), *a.metrics)
                for name, one in zip(names, found, strict=True)
                for a in one.answered
            ),
        )
    else:
        right = sum(one.relevant for one in found[0].answered) / len(found[0].answered)
        emit(
            f"{len(common):,} queries, {right:.1f} right for each, among {found[0].files:,} files, "
            f"mode {mode.value}\n\n{evaluations.table(figures)}"
        )
    if not quiet:
        tell_lines(captions.bad)
        for one in found:
            where = f" of {one.index}" if len(found) > 1 else " in the index"
            count = len(one.unknown)
            what = f"{count:,} right {'path is' if count == 1 else 'paths are'} not{where}"
            tell(f"{what}, and {'counts' if count == 1 else 'count'} as not found:", one.unknown)
        if outside := found[0].outside:
            typer.echo(f"{outside:,} right files do not pass the filters, nor count.", err=True)
        tell("Queries to which the filters leave nothing right:", found[0].without)
    end(below, skipped=bool(captions.bad or any(one.unknown for one in found)))


def _index_with(
    folder: IndexFolder, model: str, backend: Backend, offline: bool, progress: Progress
) -> IndexFolder:
    """An index of the same files with a model, brought up to date."""
    from nmm.cli.console.signals import stopping
    from nmm.index.evaluation.reference_index import build_reference_index

    with stopping() as stop:
        kept, summary = build_reference_index(
            folder,
            model,
            backend=backend,
            offline=offline,
            on_event=progress.on_event,
            stop=stop,
        )
    if summary and summary.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    return kept


def _about_index(one: Retrieval) -> dict[str, Any]:
    """What JSON says of an index that was searched."""
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
