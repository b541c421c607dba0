"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.framework.completion import models
from nmm.index.encoders.backend import Device, Precision

IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        help="Folder of the index. The default is NMM_INDEX from the environment, else the user's "
        "data directory.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="Name of a model from nmm models, its name on the hub, or a folder with a pair of "
        "towers in hub layout (DIR/vision, DIR/text).",
        autocompletion=models,
    ),
]
DimensionOption = Annotated[
    int | None,
    typer.Option(
        "--dim",
        min=1,
        metavar="N",
        help="Dimension of the vectors, for a model with truncatable embeddings: 512, 256, 128 or "
        "64 for nomic-v1.5.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", help="Device to compute on; auto uses a GPU if PyTorch finds one."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, metavar="N", help="Number of CPU threads; by default, one per core."
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Precision on the CPU; auto uses int8 if the CPU has instructions for it.",
    ),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="Wait while another process writes to the index."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PathsOption = Annotated[bool, typer.Option("--paths", help="Print absolute paths, one per line.")]
NulOption = Annotated[bool, typer.Option("-0", help="Print absolute paths, each ended by NUL.")]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Skip images with more than N pixels; 89 million by default.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")]
