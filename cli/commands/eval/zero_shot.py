"""`nmm eval zero-shot`: classes told by their names alone, where they are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    encoders,
    end,
)
from nmm.cli.console.text import printable
from nmm.cli.options.common import (
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.cli.render.formats import only_one
from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.backend import Backend, Device, Precision

if TYPE_CHECKING:
    from nmm.index.evaluation.classification import ClassificationResult
    from nmm.index.evaluation.labelled_folders import LabelledImages

# Classes, and confusions, that are shown; all are in the JSON.
CLASSES, CONFUSIONS = 20, 10


class Templates(str, Enum):
    """Sets of templates, by how many there are."""

    CLIP_80 = "80"
    CLIP_7 = "7"
    PLAIN = "1"


def zero_shot(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Each folder in it is a class; or images in ImageNet's layout."
        ),
    ],
    model: ModelsOption = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template", metavar="TEXT", help="Name classes so, as in 'a photo of a {}.'"
        ),
    ] = None,
    templates: Annotated[
        Templates | None,
        typer.Option(
            "--templates",
            help="How many of CLIP's templates: its 80, the 7 best of them, or the plainest; "
            "if not given, 80 for ImageNet and else 7.",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="FILE",
            help="What classes are called: a line each, of the folder, a tab and the name.",
        ),
    ] = None,
    task: Annotated[
        Task, typer.Option("--task", help="What names are embedded for, which decides a prefix.")
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
    """Measure how often a model names what is in images, by the names of classes alone.

    The class of an image is the first, or among the first five, of all classes that are there,
    with 95 % intervals. Classes are called as their folders, or as ImageNet's.
    """
    from nmm.cli.console.stdout import emit
    from nmm.cli.render import evaluations
    from nmm.cli.render.progress import Progress
    from nmm.index.evaluation import classification as c
    from nmm.index.evaluation.bootstrap import Sampling
    from nmm.index.evaluation.labelled_folders import find_labelled_images, read_class_names
    from nmm.index.events import FileSkipped
    from nmm.index.media.image.decode import MAX_PIXELS

    only_one({"--json": as_json, "--csv": as_csv})
    wanted = evaluations.limits(fail_under or (), c.METRICS)
    labelled = find_labelled_images(folder, read_class_names(names) if names else None)
    sentences = _templates(template, templates, labelled)
    found: list[ClassificationResult] = []
    skipped = dict(labelled.skipped)
    with Progress(quiet=quiet) as progress:
        for path, reason in labelled.skipped:
            progress.on_event(FileSkipped(path, reason))

        def on_bad(path: str, reason: str) -> None:
            if path not in skipped:
                progress.note(f"skipped {path}: {reason}")
            skipped[path] = reason

        for encoder in encoders(model, Backend(device, threads, precision), offline, progress):
            progress.advance("Naming classes", 0, len(set(labelled.names)), unit="classes")
            done = c.evaluate_classification(
                labelled,
                encoder,
                sentences,
                task,
                max_pixels=max_pixels or MAX_PIXELS,
                on_named=lambda count: progress.advance("Naming classes", count),
                on_embedded=lambda count: progress.advance(
                    "Looking at images", count, len(labelled.images)
                ),
                on_bad=on_bad,
            )
            found.append(done)
    images = c.common_images(found)
    systems = [
        evaluations.System(one.model, one.statistics(images), _about(one, labelled))
        for one in found
    ]
    figures = evaluations.measured(c.METRICS, systems, Sampling(resamples, seed=seed))
    below = evaluations.missed(figures, wanted)
    if as_json:
        about = {
            "folder": str(labelled.folder),
            "images": len(images),
            "imagenet": labelled.is_imagenet,
            "task": task.value,
            "templates": list(sentences),
            "skipped": [{"path": path, "reason": reason} for path, reason in skipped.items()],
        }
        emit(evaluations.as_json("zero-shot", figures, about, below))
    elif as_csv:
        evaluations.print_csv(("name", "class", "predicted", "images"), _cells(found, labelled))
    else:
        emit(
            f"{len(images):,} images of {len(labelled.classes):,} classes, "
            f"{len(sentences)} template{'s' * (len(sentences) != 1)}\n\n"
            f"{evaluations.table(figures)}"
        )
        if len(found) == 1:
            emit("".join(f"{line}\n" for line in _class_lines(found[0], labelled)))
    if not quiet:
        if skipped:
            total = len(labelled.images) + len(labelled.skipped)
            typer.echo(f"{len(skipped):,} of {total:,} images skipped.", err=True)
        if labelled.unlabelled:
            typer.echo(f"{labelled.unlabelled:,} images are in no class, and left out.", err=True)
    end(below, skipped=bool(skipped))


def _templates(
    given: Sequence[str] | None, chosen: Templates | None, labelled: LabelledImages
) -> tuple[str, ...]:
    from nmm.index.analysis.classification import zero_shot as z
    from nmm.index.errors import UsageError

    if given and chosen:
        raise UsageError("Templates are given twice.", hint="Leave out --template or --templates.")
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
    """What JSON says of a model: each class, and the confusion matrix without its zeros."""
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
            {"class": actual, "predicted": told, "images": count}
            for _, actual, told, count in _cells([one], labelled)
        ],
    }


def _cells(
    found: Sequence[ClassificationResult], labelled: LabelledImages
) -> Iterator[tuple[str, str, str, int]]:
    """The confusion matrix of each model, without zeros: by class, by what it was taken for."""
    for one in found:
        for (actual, told), count in one.confusion().items():
            yield one.model, labelled.classes[actual], labelled.classes[told], count


def _class_lines(one: ClassificationResult, labelled: LabelledImages) -> Iterator[str]:
    """Classes from the worst on, and what is confused most, for a person."""
    counts, right = one.by_class(len(labelled.classes))
    shares = {
        place: right[place, 0] / count for place, count in enumerate(counts.tolist()) if count
    }
    worst = sorted(shares, key=lambda place: (shares[place], -counts[place]))[:CLASSES]
    called = [
        printable(name if name == folder else f"{name} ({folder})")
        for name, folder in zip(labelled.names, labelled.classes, strict=True)
    ]
    more = f", the {CLASSES} worst of {len(shares):,}" if len(shares) > CLASSES else ""
    yield ""
    yield f"  top-1  images  class{more}"
    for place in worst:
        yield f"{shares[place]:7.3f}  {counts[place]:6,}  {called[place]}"
    wrong = {pair: count for pair, count in one.confusion().items() if pair[0] != pair[1]}
    if wrong:
        yield ""
        yield "         images  taken for"
    for (actual, told), count in sorted(wrong.items(), key=lambda cell: -cell[1])[:CONFUSIONS]:
        yield f"         {count:6,}  {called[actual]}: {called[told]}"
