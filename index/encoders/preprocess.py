"""From a decoded image to the pixels that a vision tower takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from nmm.index.encoders.registry import ImageInput


def to_pixels(image: Image, spec: ImageInput) -> NDArray[np.uint8]:
    """Resize the shortest side of an RGB image to `spec.side` and take the centre.

    The result has shape (side, side, 3). It equals resizing the whole image and then
    cropping it, as CLIP's image processor does, but only the pixels that stay are
    computed: Pillow resamples a box with the same coefficients. Both round, and clip to
    0 to 255, between rows and columns; since Pillow 13 the sizes decide which come first,
    so the two can differ by two levels, and by more where overshoot at an edge near black
    or white is clipped. Normalising is left to the tower, so that an image travels as
    bytes, a quarter of the memory of floats. Called by several threads at once.
    """
    import numpy as np
    from PIL.Image import Resampling

    side = spec.side
    short = min(image.size)
    # The long side is cut down to whole pixels, as CLIP's processor does it.
    width, height = (max(side, length * side // short) for length in image.size)
    scale_x, scale_y = image.width / width, image.height / height
    left, top = (width - side) // 2, (height - side) // 2
    box = (left * scale_x, top * scale_y, (left + side) * scale_x, (top + side) * scale_y)
    return np.asarray(image.resize((side, side), Resampling.BICUBIC, box=box))
