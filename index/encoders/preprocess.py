"""Turn decoded images and tokenized texts into the inputs of towers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from nmm.index.encoders.base import ImagePreprocessing, Tokens

# Above this aspect ratio only the centre of an image is resized. Below it the whole image is,
# which then has at most so many times the pixels of its centre.
MAX_RESIZED_ASPECT = 64
# Half the width of the bicubic filter, in pixels of the source or of the result, whichever are
# larger.
BICUBIC_SUPPORT = 2


def to_pixels(image: Image, spec: ImagePreprocessing) -> NDArray[np.uint8]:
    """Resize the shortest side of an RGB image to `spec.side`, and crop the centre.

    The whole image is resized, then cropped. The result equals that of CLIP's image processor
    with the same Pillow, byte for byte. Above the aspect ratio :data:`MAX_RESIZED_ASPECT` only
    the centre is computed: it differs by two levels at most, or more where overshoot at an edge
    near black or white is clipped. The tower does the normalising, so an image travels as
    bytes, which take a quarter of the memory of floats. Several threads may call this at once.

    Returns:
        Shape (side, side, 3).
    """
    import numpy as np
    from PIL.Image import Resampling

    side = spec.side
    short = min(image.size)
    # The long side is rounded down to whole pixels, as CLIP's processor does it.
    width, height = (max(side, length * side // short) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    centre = (left, top, left + side, top + side)
    # Pillow can resize a box alone, which is faster for a long image. But it rounds and clips
    # between rows and columns, and since version 13 the sizes decide which come first: a box
    # is not always resized as the whole image is.
    if max(width, height) <= MAX_RESIZED_ASPECT * side:
        return np.asarray(image.resize((width, height), Resampling.BICUBIC).crop(centre))
    scale_x, scale_y = image.width / width, image.height / height
    box = tuple(c * scale for c, scale in zip(centre, (scale_x, scale_y) * 2, strict=True))
    return np.asarray(_resize_box(image, box, side))


def _resize_box(image: Image, box: tuple[float, ...], side: int) -> Image:
    """Resize a box (left, top, right, bottom) of an image to a square.

    Pillow keeps a box in float32, which is exact to a pixel only up to 2**24. So the image is
    first cropped to the pixels that the filter reaches, and the box is moved accordingly.
    """
    from PIL.Image import Resampling

    left, top, right, bottom = box
    reach = math.ceil(BICUBIC_SUPPORT * max(1, (right - left) / side, (bottom - top) / side))
    x, y = max(0, math.floor(left) - reach), max(0, math.floor(top) - reach)
    part = image.crop(
        (
            x,
            y,
            min(image.width, math.ceil(right) + reach),
            min(image.height, math.ceil(bottom) + reach),
        )
    )
    moved = (left - x, top - y, right - x, bottom - y)
    return part.resize((side, side), Resampling.BICUBIC, box=moved)


def pad_tokens(ids: Sequence[Sequence[int]]) -> tuple[Tokens, Tokens]:
    """Pad the tokens of several texts with zeros to the longest of them.

    Returns:
        Token ids and mask, both int64 of shape (texts, length). The mask is 1 for a token of
        the text and 0 for padding.
    """
    import numpy as np

    lengths = np.array([len(one) for one in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.zeros(mask.shape, np.int64)
    tokens[mask] = np.concatenate(ids)
    return tokens, mask.astype(np.int64)
