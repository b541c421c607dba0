"""Open a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def open_tokenizer(file: Path) -> Tokenizer:
    """Open a `tokenizer.json`, without the truncation and padding that it may ask for.

    Raises:
        ModelError: It cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the only type that tokenizers raises
        raise ModelError(
            f"The tokenizer {file} cannot be opened.",
            code="tokenizer-unreadable",
            why=str(error),
            path=file,
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
