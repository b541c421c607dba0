"""`nmm eval zero-shot`: measures zero-shot image classification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.commands.eval.common import (
    CsvOption,
    LimitsOption,
    ModelsOption,
    ResamplesOption,
    SeedOption,
    exit_with_status,
    open_encoders,
)
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable, skip_reason
from nmm.cli.options.common import (
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.cli.options.output import choose_one
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.base import Task

if TYPE_CHECKING:
    from nmm.cli.render.progress import Progress
    from nmm.index.encoders.runtime.batching import BatchedEncoder
    from nmm.index.evaluation.classification import ClassificationResult
    from nmm.index.evaluation.labelled_folders import LabelledImages

# Classes and confusions in the table; the JSON has all of them.
MAX_CLASSES, MAX_CONFUSIONS = 20, 10


class Templates(str, Enum):
    """Sets of prompt templates, by their number."""

    CLIP_80 = "80"
    CLIP_7 = "7"
    PLAIN = "1"


def zero_shot(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder with one folder per class, or with ImageNet's layout."
        ),
    ],
    model: ModelsOption = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template", metavar="TEXT", help="Prompt template, such as 'a photo of a {}.'"
        ),
    ] = None,
    templates: Annotated[
        Templates | None,
        typer.Option(
            "--templates",
            help="CLIP's prompt templates: all 80, the best 7, or the simplest one. By default 80 "
            "for ImageNet, or else 7.",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="FILE",
            help="File with names of classes: one line per class with folder, tab and name.",
        ),
    ] = None,
    task: Annotated[
        Task, typer.Option("--task", help="Task of the class names, which determines the prefix.")
    ] = Task.QUERY,
    max_pixels: MaxPixelsOption = None,
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
    """Measure zero-shot image classification: classes are recognised by their names alone.

    Prints how often the class of an image is the first prediction, and how often it is among the
    first five, with 95 % confidence intervals. Classes are named after their folders, or ImageNet's
    classes by their names.
    """
    from nmm.cli.render import evaluations
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation.bootstrap import Sampling
    from nmm.index.evaluation.classification import METRICS, common_images
    from nmm.index.evaluation.labelled_folders import find_labelled_images, read_class_names

    choose_one({"--json": as_json, "--csv": as_csv})
    limits = evaluations.parse_limits(fail_under or (), METRICS)
    labelled = find_labelled_images(folder, read_class_names(names) if names else None)
    prompts = _templates(template, templates, labelled)
    with Progress(quiet=quiet) as progress:
        models = open_encoders(model, Backend(device, threads, precision), offline, progress)
        found, skipped = _evaluate(labelled, models, prompts, task, max_pixels, progress)
    images = common_images(found)
    systems = [
        evaluations.System(one.model, one.statistics(images), _about(one, labelled))
        for one in found
    ]
    comparison = evaluations.compare_systems(METRICS, systems, Sampling(resamples, seed=seed))
    missed = evaluations.missed_limits(comparison, limits)
    if as_json:
        about = {
            "folder": str(labelled.folder),
            "images": len(images),
            "imagenet": labelled.is_imagenet,
            "task": task.value,
            "templates": list(prompts),
            "skipped": [
                {"path": path, "reason": skip_reason(reason)} for path, reason in skipped.items()
            ],
        }
        emit(evaluations.format_json("zero-shot", comparison, about, missed))
    elif as_csv:
        evaluations.print_csv(("name", "class", "predicted", "images"), _cells(found, labelled))
    else:
        emit(
            f"{len(images):,} images of {len(labelled.classes):,} classes, "
            f"{len(prompts)} template{'s' * (len(prompts) != 1)}\n\n"
            f"{evaluations.format_table(comparison)}"
        )
        if len(found) == 1:
            emit("".join(f"{line}\n" for line in _class_lines(found[0], labelled)))
    if not quiet:
        _report_skipped(labelled, len(skipped))
    exit_with_status(missed, skipped=bool(skipped))


def _evaluate(
    labelled: LabelledImages,
    models: Iterable[BatchedEncoder],
    prompts: Sequence[str],
    task: Task,
    max_pixels: int | None,
    progress: Progress,
) -> tuple[list[ClassificationResult], dict[str, str]]:
    """Evaluate each model; return the results, and skipped files with the reasons."""
    from nmm.index.evaluation.classification import evaluate_classification
    from nmm.index.events import FileSkipped
    from nmm.index.media.image.decode import MAX_PIXELS

    skipped = dict(labelled.skipped)
    for path, reason in labelled.skipped:
        progress.on_event(FileSkipped(path, reason))

    def on_bad(path: str, reason: str) -> None:
        if path not in skipped:
            progress.note(f"skipped {path}: {skip_reason(reason)}")
        skipped[path] = reason

    found = []
    for encoder in models:
        progress.advance("Naming classes", 0, len(set(labelled.names)), unit="classes")
        found.append(
            evaluate_classification(
                labelled,
                encoder,
                prompts,
                task,
                max_pixels=max_pixels or MAX_PIXELS,
                on_named=lambda count: progress.advance("Naming classes", count),
                on_embedded=lambda count: progress.advance(
                    "Looking at images", count, len(labelled.images)
                ),
                on_bad=on_bad,
            )
        )
    return found, skipped


def _report_skipped(labelled: LabelledImages, skipped: int) -> None:
    """Report how many images were not measured."""
    if skipped:
        total = len(labelled.images) + len(labelled.skipped)
        typer.echo(f"{skipped:,} of {total:,} images skipped.", err=True)
    if labelled.unlabelled:
        typer.echo(f"{labelled.unlabelled:,} images are in no class and were ignored.", err=True)


def _templates(
    given: Sequence[str] | None, chosen: Templates | None, labelled: LabelledImages
) -> tuple[str, ...]:
    """Return the prompt templates that the options select."""
    from nmm.index.analysis.classification import zero_shot as z
    from nmm.index.errors import UsageError

    if given and chosen:
        raise UsageError(
            "--template and --templates exclude each other.", hint="Remove one of them."
        )
    if given:
        z.check_templates(given)
        return tuple(given)
    sets = {
        Templates.CLIP_80: z.CLIP_80,
        Templates.CLIP_7: z.CLIP_7,
        Templates.PLAIN: z.SINGLE_TEMPLATE,
    }
    return sets[chosen or (Templates.CLIP_80 if labelled.is_imagenet else Templates.CLIP_7)]


def _about(one: ClassificationResult, labelled: LabelledImages) -> dict[str, Any]:
    """Return the JSON fields of a model: its classes and confusion matrix."""
    counts, right = one.by_class(len(labelled.classes))
    return {
        "model": one.model,
        "dimension": one.dimension,
        "classes": [
            {
                "class": folder,
                "called": name,
                "images": count,
                "top1": top1 / count if count else None,
                "top5": top5 / count if count else None,
            }
            for folder, name, count, (top1, top5) in zip(
                labelled.classes, labelled.names, counts.tolist(), right.tolist(), strict=True
            )
        ],
        "confusion": [
            {"class": actual, "predicted": predicted, "images": count}
            for _, actual, predicted, count in _cells([one], labelled)
        ],
    }


def _cells(
    found: Sequence[ClassificationResult], labelled: LabelledImages
) -> Iterator[tuple[str, str, str, int]]:
    """Yield the non-zero cells of the confusion matrices: model, class, prediction, images."""
    for one in found:
        for (actual, predicted), count in one.confusion().items():
            yield one.model, labelled.classes[actual], labelled.classes[predicted], count


def _class_lines(one: ClassificationResult, labelled: LabelledImages) -> Iterator[str]:
    """Yield a table of the worst classes and the most frequent confusions."""
    counts, right = one.by_class(len(labelled.classes))
    shares = {
        place: right[place, 0] / count for place, count in enumerate(counts.tolist()) if count
    }
    worst = sorted(shares, key=lambda place: (shares[place], -counts[place]))[:MAX_CLASSES]
    called = [
        printable(name if name == folder else f"{name} ({folder})")
        for name, folder in zip(labelled.names, labelled.classes, strict=True)
    ]
    more = f", the {MAX_CLASSES} worst of {len(shares):,}" if len(shares) > MAX_CLASSES else ""
    yield ""
    yield f"  top-1  images  class{more}"
    for place in worst:
        yield f"{shares[place]:7.3f}  {counts[place]:6,}  {called[place]}"
    wrong = {pair: count for pair, count in one.confusion().items() if pair[0] != pair[1]}
    if wrong:
        yield ""
        yield "         images  confused with"
    for (actual, predicted), count in sorted(wrong.items(), key=lambda cell: -cell[1])[
        :MAX_CONFUSIONS
    ]:
        yield f"         {count:6,}  {called[actual]}: {called[predicted]}"
