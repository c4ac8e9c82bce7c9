"""Find the product of a shot on a plain background: which pixels are not background, and the box around them.

Only the background is looked at. A model wearing the product stands out of it just as well: for those shots the
box is the person's, so ask the detector instead.
"""

import numpy as np
from numpy.typing import NDArray

from twinset.types import Box, Image

WORK_SIDE = 384  # pixels of the longer side the search runs at: a box good to 1/400 is enough
BORDER_SHARE = 0.02  # width of the frame that shows the background
MIN_PLAIN_SHARE = 0.8  # of the frame that must have the background's colour
TOLERANCE = 12  # a pixel this far from the background's colour in every channel is still background: JPEG noise
MIN_ITEM_SHARE = 0.005  # of the image; less is a speck or an empty page
MAX_ITEM_SHARE = 0.97  # more has no background around it

Mask = NDArray[np.bool_]


def item_box(image: Image) -> Box | None:
    """Return the box of what stands on the plain background, in pixels; None where the background is not plain."""
    mask = _small_mask(image)
    if mask is None:
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    scale_x, scale_y = image.shape[1] / mask.shape[1], image.shape[0] / mask.shape[0]
    return (
        float(columns[0] * scale_x),
        float(rows[0] * scale_y),
        float((columns[-1] + 1) * scale_x),
        float((rows[-1] + 1) * scale_y),
    )


def item_mask(image: Image) -> Mask | None:
    """Return (H, W) True where the product is, holes in it that background can't reach included; None as `item_box`."""
    mask = _small_mask(image)
    if mask is None:
        return None
    rows = np.arange(image.shape[0]) * mask.shape[0] // image.shape[0]
    columns = np.arange(image.shape[1]) * mask.shape[1] // image.shape[1]
    return mask[rows[:, None], columns]


def _small_mask(image: Image) -> Mask | None:
    small = _shrink(image)
    background = _background_colour(small)
    if background is None:
        return None
    distance = np.abs(small.astype(np.int16) - background).max(2)
    mask = _without_specks(~_reached_from_border(distance <= TOLERANCE))
    share = np.count_nonzero(mask) / mask.size
    return mask if MIN_ITEM_SHARE <= share <= MAX_ITEM_SHARE else None


def _shrink(image: Image) -> Image:
    step = max(1.0, max(image.shape[:2]) / WORK_SIDE)
    if step == 1.0:
        return image
    from PIL import Image as Pillow

    height, width = image.shape[:2]
    size_wh = max(1, round(width / step)), max(1, round(height / step))
    return np.asarray(Pillow.fromarray(image).resize(size_wh, Pillow.Resampling.BOX))


def _background_colour(image: Image) -> NDArray[np.int16] | None:
    """Return the colour most of the frame has, None where it has no one colour."""
    depth = max(1, round(BORDER_SHARE * min(image.shape[:2])))
    frame = np.concatenate(
        [
            image[:depth].reshape(-1, 3),
            image[-depth:].reshape(-1, 3),
            image[:, :depth].reshape(-1, 3),
            image[:, -depth:].reshape(-1, 3),
        ]
    )
    colour = np.median(frame, axis=0).astype(np.int16)
    plain = np.abs(frame.astype(np.int16) - colour).max(1) <= TOLERANCE
    return colour if plain.mean() >= MIN_PLAIN_SHARE else None


def _reached_from_border(passable: Mask) -> Mask:
    """Return the passable pixels connected to the image's border through passable pixels, diagonals apart."""
    reached = np.zeros_like(passable)
    reached[[0, -1]], reached[:, [0, -1]] = passable[[0, -1]], passable[:, [0, -1]]
    count = -1
    while count != (count := np.count_nonzero(reached)):
        reached = _spread_in_runs(reached, passable)
        reached = _spread_in_runs(reached.T, passable.T).T
    return reached


def _spread_in_runs(reached: Mask, passable: Mask) -> Mask:
    """Return `reached` grown along each row to the whole of every run of passable pixels it touches."""
    starts = ~passable  # a blocked pixel opens the run behind it and is never reached itself
    starts[:, 0] = True  # a run ends with its row
    run = np.cumsum(starts.ravel()) - 1
    touched = np.bincount(run, weights=(reached & passable).ravel()) > 0
    return touched[run].reshape(passable.shape) & passable


def _without_specks(mask: Mask) -> Mask:
    """Return the mask without pixels that have fewer than four of their eight neighbours in it: dust and JPEG noise."""
    padded = np.pad(mask, 1).astype(np.uint8)
    height, width = mask.shape
    around = np.sum([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    dense: Mask = mask & (around >= 5)
    return dense
