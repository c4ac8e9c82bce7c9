import numpy as np
import pytest
from PIL import Image

from twinset.describe.colours import NAMES, measure_colours, name_pixels, rgb_to_lab

WHOLE = np.ones((20, 20), np.float32)
INNER = (0, 0, 160, 160)


def square(*colours: tuple[int, int, int]) -> np.ndarray:
    """A picture of 160 x 160 in vertical bands."""
    bands = [np.full((160, 160 // len(colours), 3), colour, np.uint8) for colour in colours]
    return np.concatenate(bands, axis=1)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((10, 10, 12), "black"),
        ((250, 250, 250), "white"),
        ((130, 130, 132), "grey"),
        ((222, 205, 175), "beige"),
        ((101, 67, 33), "brown"),
        ((200, 20, 30), "red"),
        ((250, 150, 190), "pink"),
        ((245, 130, 30), "orange"),
        ((250, 220, 50), "yellow"),
        ((40, 140, 60), "green"),
        ((30, 60, 170), "blue"),
        ((20, 25, 60), "blue"),
        ((110, 40, 150), "purple"),
    ],
)
def test_colour_is_called_what_people_call_it(rgb: tuple[int, int, int], name: str) -> None:
    colours = measure_colours(square(rgb), WHOLE, INNER)

    assert [(colour.name, colour.share) for colour in colours] == [(name, 1.0)]


def test_lab_of_white_and_of_srgb_red_are_the_published_values() -> None:
    lab = rgb_to_lab(np.array([[255, 255, 255], [255, 0, 0]], np.float32))

    assert lab[0] == pytest.approx([100, 0, 0], abs=0.05)
    assert lab[1] == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


def test_shares_are_those_of_the_items_pixels_only() -> None:
    mask = np.zeros((20, 20), np.float32)
    mask[:, 10:] = 1  # the right half is the item
    pixels = square((200, 20, 30), (200, 20, 30), (30, 60, 170), (250, 250, 250))

    colours = {colour.name: colour.share for colour in measure_colours(pixels, mask, INNER)}

    assert colours == {"blue": pytest.approx(0.5), "white": pytest.approx(0.5)}


def test_colour_beside_the_picture_does_not_count() -> None:
    pixels = square((127, 127, 127), (200, 20, 30))

    assert [c.name for c in measure_colours(pixels, WHOLE, (80, 0, 160, 160))] == ["red"]


def test_empty_mask_falls_back_to_the_picture() -> None:
    assert [c.name for c in measure_colours(square((200, 20, 30)), WHOLE * 0, INNER)] == ["red"]


def test_three_bright_colours_are_multicolour_first() -> None:
    colours = measure_colours(square((200, 20, 30), (30, 60, 170), (40, 140, 60), (250, 250, 250)), WHOLE, INNER)

    assert colours[0].name == "multicolour"


def test_every_rgb_colour_has_a_name() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), -1).reshape(-1, 3)

    named = name_pixels(rgb_to_lab(grid.astype(np.float32)))

    assert set(np.unique(named)) == set(range(len(NAMES)))


def test_lab_agrees_with_pillows_conversion_of_lightness() -> None:
    # Pillow has no CIE Lab without ICC profiles; its luma is a rough independent check of lightness' order.
    greys = np.arange(0, 256, 5)
    lab = rgb_to_lab(np.repeat(greys[:, None], 3, 1).astype(np.float32))
    luma = [Image.new("RGB", (1, 1), (int(g),) * 3).convert("L").getpixel((0, 0)) for g in greys]

    assert (np.diff(lab[:, 0]) > 0).all()
    assert luma == greys.tolist()
    assert np.abs(lab[:, 1:]).max() < 0.02


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("x", [0, 77, 78, 79, 80])
def test_a_strip_thinner_than_a_cell_still_has_a_colour(x: int, width: int) -> None:
    (colour,) = measure_colours(square((200, 20, 30)), WHOLE, (x, 0, x + width, 160))
    assert (colour.name, colour.share) == ("red", 1.0)
