"""The kinds of article a drawn shop sells: what they are called, how they are drawn and cut, what they cost."""

from collections.abc import Callable
from dataclasses import dataclass

from twinset.data.drawn_garments import (
    Cut,
    draw_backpack,
    draw_beanie,
    draw_belt,
    draw_boot,
    draw_cap,
    draw_clutch,
    draw_dress,
    draw_eyeglasses,
    draw_flat,
    draw_heel,
    draw_jumpsuit,
    draw_sandal,
    draw_scarf,
    draw_shoulder_bag,
    draw_skirt,
    draw_sneaker,
    draw_sun_hat,
    draw_sunglasses,
    draw_top,
    draw_tote,
    draw_trousers,
)
from twinset.data.drawn_pen import Fabric, Pen

Draw = Callable[[Pen, Cut], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of article: what a feed calls it, how it is drawn and cut, and what it costs."""

    article_type: str
    category: str
    word: str  # in a title
    draw: Draw
    aspect: float  # width over height of its part
    cuts: tuple[Cut, ...]
    price: tuple[int, int]
    patterns: tuple[str, ...] = ("plain",)
    colours: tuple[str, ...] = ()  # any, if empty
    genders: tuple[str, ...] = ("Women", "Men")


ALL = ("plain", "plain", "striped", "checked", "dotted", "floral", "pinstriped")
SOFT = ("plain", "plain", "striped", "dotted", "floral")
KINDS: tuple[Kind, ...] = (
    Kind("T-shirt", "top", "T-shirt", draw_top, 1.0, (Cut(0.35), Cut(0.35, "v"), Cut(0.3, length=0.85)), (9, 29), ALL),
    Kind(
        "Shirt",
        "top",
        "shirt",
        draw_top,
        1.0,
        (Cut(1, "collar", "buttons"), Cut(0.35, "collar", "buttons")),
        (24, 59),
        ALL,
    ),
    Kind(
        "Blouse",
        "top",
        "blouse",
        draw_top,
        1.0,
        (Cut(0.7, "v", width=0.9), Cut(0.9, "round", "buttons")),
        (22, 54),
        SOFT,
        (),
        ("Women",),
    ),
    Kind(
        "Sweater",
        "top",
        "sweater",
        draw_top,
        1.0,
        (Cut(1, "turtle"), Cut(1, "round"), Cut(1, "v")),
        (29, 79),
        ("plain", "striped"),
    ),
    Kind("Sweatshirt", "top", "hoodie", draw_top, 1.0, (Cut(1, "hood", width=0.8, pockets=True),), (29, 69)),
    Kind(
        "Top",
        "top",
        "tank top",
        draw_top,
        0.9,
        (Cut(0, "round", length=0.9), Cut(0, "v", length=0.8)),
        (7, 25),
        SOFT,
        (),
        ("Women",),
    ),
    Kind(
        "Jacket",
        "outerwear",
        "jacket",
        draw_top,
        1.0,
        (Cut(1, "collar", "zip", 0.92, 0.8, True), Cut(1, "collar", "open", 0.9, 0.8)),
        (59, 159),
    ),
    Kind(
        "Coat",
        "outerwear",
        "coat",
        draw_top,
        0.8,
        (Cut(1, "collar", "buttons", 1.0, 1.0, True), Cut(1, "collar", "open", 1.0, 1.0, True)),
        (89, 249),
        ("plain", "checked"),
    ),
    Kind(
        "Cardigan",
        "outerwear",
        "cardigan",
        draw_top,
        1.0,
        (Cut(1, "v", "open", 0.95, 0.6), Cut(1, "v", "buttons", 0.95, 0.6)),
        (35, 89),
        ("plain", "striped"),
    ),
    Kind(
        "Blazer",
        "outerwear",
        "blazer",
        draw_top,
        0.95,
        (Cut(1, "collar", "open", 0.95, 0.6, True),),
        (79, 199),
        ("plain", "pinstriped", "checked"),
    ),
    Kind(
        "Dress",
        "dress",
        "dress",
        draw_dress,
        0.6,
        (Cut(0.4, length=0.8, width=0.8), Cut(0, "v", width=1.0), Cut(0.9, length=0.85, width=0.4)),
        (35, 119),
        ("plain", "floral", "dotted", "striped", "checked"),
        (),
        ("Women",),
    ),
    Kind(
        "Jumpsuit",
        "jumpsuit",
        "jumpsuit",
        draw_jumpsuit,
        0.5,
        (Cut(0), Cut(0.6, width=0.9)),
        (45, 109),
        ("plain", "plain", "pinstriped", "floral"),
        (),
        ("Women",),
    ),
    Kind(
        "Jeans",
        "trousers",
        "jeans",
        draw_trousers,
        0.5,
        (Cut(width=0.2), Cut(width=0.8)),
        (39, 99),
        ("denim",),
        ("blue", "black", "grey"),
    ),
    Kind(
        "Trousers",
        "trousers",
        "trousers",
        draw_trousers,
        0.5,
        (Cut(width=0.4), Cut(width=1.0)),
        (35, 89),
        ("plain", "plain", "pinstriped", "checked"),
    ),
    Kind(
        "Leggings",
        "trousers",
        "leggings",
        draw_trousers,
        0.45,
        (Cut(width=0.0),),
        (15, 39),
        ("plain",),
        ("black", "grey", "purple", "blue"),
        ("Women",),
    ),
    Kind(
        "Shorts",
        "shorts",
        "shorts",
        draw_trousers,
        1.1,
        (Cut(length=0.85, width=0.8), Cut(length=0.7, width=0.6)),
        (19, 49),
        ("plain", "denim", "checked"),
    ),
    Kind(
        "Skirt",
        "skirt",
        "skirt",
        draw_skirt,
        0.9,
        (Cut(length=0.8, width=0.9), Cut(width=0.5), Cut(length=0.9, width=0.1)),
        (25, 69),
        ("plain", "floral", "checked", "dotted"),
        (),
        ("Women",),
    ),
    Kind("Casual shoes", "shoes", "sneakers", draw_sneaker, 1.6, (Cut(),), (39, 119)),
    Kind("Heels", "shoes", "heels", draw_heel, 1.3, (Cut(),), (45, 139), ("plain",), (), ("Women",)),
    Kind(
        "Boots",
        "shoes",
        "ankle boots",
        draw_boot,
        1.1,
        (Cut(),),
        (69, 189),
        ("plain",),
        ("black", "brown", "beige", "grey", "red"),
    ),
    Kind("Sandals", "shoes", "sandals", draw_sandal, 1.7, (Cut(),), (25, 79)),
    Kind("Flats", "shoes", "flats", draw_flat, 1.8, (Cut(),), (29, 89)),
    Kind(
        "Handbag",
        "bag",
        "tote bag",
        draw_tote,
        0.95,
        (Cut(),),
        (35, 149),
        ("plain", "striped", "checked"),
        (),
        ("Women",),
    ),
    Kind(
        "Shoulder bag", "bag", "shoulder bag", draw_shoulder_bag, 1.0, (Cut(),), (45, 169), ("plain",), (), ("Women",)
    ),
    Kind("Backpack", "bag", "backpack", draw_backpack, 0.8, (Cut(),), (39, 119), ("plain", "dotted", "checked")),
    Kind("Clutch", "bag", "clutch", draw_clutch, 1.5, (Cut(),), (25, 89), ("plain", "floral"), (), ("Women",)),
    Kind("Cap", "hat", "cap", draw_cap, 1.2, (Cut(),), (12, 35)),
    Kind(
        "Hat",
        "hat",
        "sun hat",
        draw_sun_hat,
        1.4,
        (Cut(),),
        (19, 59),
        ("plain",),
        ("beige", "white", "brown", "black", "pink"),
    ),
    Kind("Beanie", "hat", "beanie", draw_beanie, 0.9, (Cut(),), (12, 39), ("plain", "striped")),
    Kind("Sunglasses", "glasses", "sunglasses", draw_sunglasses, 2.1, (Cut(),), (19, 129)),
    Kind("Eyeglasses", "glasses", "eyeglasses", draw_eyeglasses, 2.1, (Cut(),), (29, 149)),
    Kind(
        "Belt",
        "belt",
        "belt",
        draw_belt,
        1.4,
        (Cut(),),
        (15, 59),
        ("plain",),
        ("black", "brown", "beige", "red", "white", "blue"),
    ),
    Kind("Scarf", "scarf", "scarf", draw_scarf, 0.75, (Cut(),), (15, 69), ALL),
)


def pen_for(kind: Kind, fabric: Fabric) -> Fabric:
    """Return the fabric as the kind can be made of it."""
    return (
        fabric
        if fabric.pattern in kind.patterns
        else Fabric(fabric.colour, fabric.second, kind.patterns[0], fabric.seed)
    )
