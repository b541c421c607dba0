"""From a decoded image to the pixels that a vision tower takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from nmm.index.encoders.base import ImagePreprocessing

# Of an image whose long side is more than so many times its short side, only what is kept
# is computed. Below, the whole, resized, has at most so many times the pixels of its centre.
MAX_RESIZED_ASPECT = 64
# Half the width of the bicubic filter, in pixels of the image or of the result, whichever
# are larger.
BICUBIC_SUPPORT = 2


def to_pixels(image: Image, spec: ImagePreprocessing) -> NDArray[np.uint8]:
    """Resize the shortest side of an RGB image to `spec.side` and take the centre.

    The result has shape (side, side, 3). It is what CLIP's image processor makes with the
    same Pillow, byte for byte: the whole is resized, then cropped. Of an image longer than
    :data:`LONGEST` times its short side only the centre is computed, which differs from that
    by two levels at most, or more where overshoot at an edge near black or white is clipped.
    Normalising is left to the tower, so that an image travels as bytes, a quarter of the
    memory of floats. Called by several threads at once.
    """
    import numpy as np
    from PIL.Image import Resampling

    side = spec.side
    short = min(image.size)
    # The long side is cut down to whole pixels, as CLIP's processor does it.
    width, height = (max(side, length * side // short) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    centre = (left, top, left + side, top + side)
    # Pillow can resize a box alone, in less time for a long image. But it rounds and clips
    # between rows and columns, and since version 13 the sizes decide which come first, so
    # that a box is not always resized as the whole is.
    if max(width, height) <= MAX_RESIZED_ASPECT * side:
        return np.asarray(image.resize((width, height), Resampling.BICUBIC).crop(centre))
    scale_x, scale_y = image.width / width, image.height / height
    box = tuple(c * scale for c, scale in zip(centre, (scale_x, scale_y) * 2, strict=True))
    return np.asarray(_resize_box(image, box, side))


def _resize_box(image: Image, box: tuple[float, ...], side: int) -> Image:
    """Resize a box (left, top, right, bottom) of an image to a square.

    Pillow keeps a box in float32, which is exact to a pixel up to 2**24 only: the box is
    made one of a part of the image, which holds what the filter reaches.
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
