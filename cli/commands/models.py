"""`nmm models`: list, download, verify and delete models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.signals import stopping
from nmm.cli.console.stdout import emit
from nmm.cli.framework import completion
from nmm.cli.framework.click_classes import Commands
from nmm.cli.options.common import JsonOption, OfflineOption, QuietOption

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model

EXAMPLES = """\b
Examples:
  nmm models
  nmm models pull nomic-v1.5
  nmm models verify nomic-v1.5
  ls "$(nmm models path nomic-v1.5)"
"""

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A model from nmm models.", autocompletion=completion.models
    ),
]

app = typer.Typer(
    help="List, download, verify and delete models.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
    cls=Commands,
)


@app.callback()
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """List, download, verify and delete models.

    Without a command, same as nmm models list.
    """
    if context.invoked_subcommand is None:
        list_(as_json)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List all models with size, licence, published scores, and whether they are downloaded."""
    from nmm.index.encoders.registry import DEFAULT, MODELS

    if as_json:
        emit(json.dumps([_row(m) for m in MODELS.values()], ensure_ascii=False, indent=2) + "\n")
        return
    for model in MODELS.values():
        row = _row(model)
        lengths = ", ".join(map(str, model.dimensions or (model.dimension,)))
        default = " (the default)" if model is DEFAULT else ""
        here = "on this machine" if row["on_this_machine"] else "not on this machine"
        emit(
            f"{model.name}{default}: {model.title}\n"
            f"    {lengths} dimensions, {model.size / 1e6:.0f} MB, {model.licence}, {here}\n"
        )
        if said := model.published:
            emit(
                f"    published: ImageNet {said.imagenet}, Datacomp {said.datacomp}, "
                f"MTEB {said.mteb}\n"
            )


@app.command()
def pull(
    name: NameArgument,
    as_json: JsonOption = False,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
) -> None:
    """Download a model and prepare it for this machine.

    An interrupted download is resumed. Every file is checked against its hash.
    """
    from nmm.cli.render.progress import Progress
    from nmm.index.encoders.provision import ensure_downloaded, prepare
    from nmm.index.encoders.resolve import find_model
    from nmm.index.errors import StoppedError

    model = find_model(name)
    try:
        with Progress(quiet=quiet) as progress, stopping() as stop:
            ensure_downloaded(model, offline=offline, on_event=progress.on_event, stop=stop)
            prepare(model, on_event=progress.on_event, stop=stop)
    except StoppedError:
        raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        emit(json.dumps(_row(model), ensure_ascii=False, indent=2) + "\n")
    elif not quiet:
        emit(f"The model {model.name} is ready.\n")


@app.command()
def remove(name: NameArgument, as_json: JsonOption = False) -> None:
    """Delete a model's download and its prepared form."""
    from nmm.index.encoders.hub.weights import remove_model as delete
    from nmm.index.encoders.resolve import find_model

    model = find_model(name)
    freed = delete(model)
    if as_json:
        emit(json.dumps({"name": model.name, "bytes": freed}, indent=2) + "\n")
    elif freed:
        emit(f"Deleted the model {model.name}: {freed / 1e6:.0f} MB are free again.\n")
    else:
        emit(f"Nothing of the model {model.name} is on this machine.\n")


@app.command()
def verify(name: NameArgument, as_json: JsonOption = False) -> None:
    """Read every file of a model and compare its hash."""
    from nmm.cli.console.hints import remedy_of
    from nmm.index.encoders.hub.weights import verify_weights as problems_of
    from nmm.index.encoders.resolve import find_model

    model = find_model(name)
    problems = problems_of(model)
    if as_json:
        emit(json.dumps({"name": model.name, "problems": problems}, indent=2) + "\n")
    else:
        said = [*problems, remedy_of(model)] if problems else [f"The model {model.name} is whole."]
        emit("".join(f"{line}\n" for line in said))
    if problems:
        raise typer.Exit(Exit.NO_INDEX_OR_MODEL)


@app.command()
def path(name: NameArgument, as_json: JsonOption = False) -> None:
    """Print where a model's weights are; with --json, also its prepared form."""
    from nmm.index.encoders.hub.cache_dirs import compiled_folder
    from nmm.index.encoders.hub.compiled import is_compiled
    from nmm.index.encoders.hub.weights import weight_files
    from nmm.index.encoders.resolve import find_model

    model = find_model(name)
    files = [str(file) for file in weight_files(model)]
    if as_json:
        prepared = str(compiled_folder(model)) if is_compiled(model) else None
        shown = {"name": model.name, "files": files, "prepared": prepared}
        emit(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")
    else:
        emit(_common_folder(files) + "\n" if model.sources else "".join(f"{f}\n" for f in files))


def _common_folder(files: list[str]) -> str:
    import os.path

    return os.path.commonpath(files)


def _row(model: Model) -> dict[str, Any]:
    from dataclasses import asdict

    from nmm.index.encoders.hub.compiled import is_compiled
    from nmm.index.encoders.hub.weights import is_on_this_machine

    return {
        "name": model.name,
        "title": model.title,
        "dimension": model.dimension,
        "dimensions": list(model.dimensions or (model.dimension,)),
        "licence": model.licence,
        "bytes": model.size,
        "context": model.text.context,
        "repositories": [source.repository for source in model.sources],
        "published": model.published and asdict(model.published),
        "on_this_machine": is_on_this_machine(model),
        "prepared": is_compiled(model),
    }
