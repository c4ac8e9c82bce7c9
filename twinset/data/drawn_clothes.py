"""Clothes: each function draws one kind on a body, laid flat or standing, from its cut.

The unit is the height of a head, x = 0 the middle of the body, y = 0 the crown, y = 7.4 the ground.
"""

import math
from dataclasses import dataclass

import numpy as np

from twinset.data.drawn_pen import Pen, Point, Rgb, closed, flipped, tinted

GOLD: Rgb = (196, 160, 84)
STEEL: Rgb = (172, 176, 182)
IVORY: Rgb = (240, 238, 232)
THREAD: Rgb = (204, 150, 84)  # the seams of jeans
TIP, UNDER = (0.74, 1.47), (0.6, 2.12)  # of the shoulder, below the arm
Limb = tuple[Point, Point, Point]  # shoulder, elbow, wrist; or hip, knee, ankle


@dataclass(frozen=True, slots=True)
class Body:
    """Where the limbs of who wears it are, right (x > 0) then left; of clothes laid flat, where they would be."""

    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    laid: bool = False


def both_sides(right: Limb) -> tuple[Limb, Limb]:
    """Return a limb of the right side and its mirror image."""
    (x1, y1), (x2, y2), (x3, y3) = right
    return right, ((-x1, y1), (-x2, y2), (-x3, y3))


LAID = Body(
    both_sides(((0.64, 1.62), (1.0, 2.72), (1.22, 3.72))), both_sides(((0.32, 3.7), (0.38, 5.4), (0.42, 7.05))), True
)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a garment is cut. What a kind has no use for it passes over."""

    word: str = ""  # in a title: "V-neck"
    sleeve: float = 0.36  # 0 none to 1 long
    neck: str = "round"  # round v scoop strap collar lapel hood turtle
    front: str = "closed"  # closed buttons zip open
    hem: float = 3.6  # where it ends
    ease: float = 0.08  # how loose
    flare: float = 0.0  # how much wider at the hem
    detail: str = ""  # pockets pleats cuffs bib stripe ...


def along(limb: Limb, share: float) -> tuple[Point, Point]:
    """Return the point at a share of a limb's way, and the direction there."""
    first, second = math.dist(limb[0], limb[1]), math.dist(limb[1], limb[2])
    way = share * (first + second)
    (start, end, length) = (limb[0], limb[1], first) if way <= first else (limb[1], limb[2], second)
    way = way if way <= first else way - first
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    return (start[0] + dx * way, start[1] + dy * way), (dx, dy)


def beside(limb: Limb, share: float, width: float, side: int) -> tuple[Point, Point]:
    """Return the points to the outside and the inside of a limb."""
    (x, y), (dx, dy) = along(limb, share)
    nx, ny = side * dy * width, -side * dx * width
    return (x + nx, y + ny), (x - nx, y - ny)


# --- tops and outerwear -----------------------------------------------------------------------------------------------


def draw_top(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw what covers the torso: T-shirt, shirt, sweater, jacket, coat."""
    neck = _neckline(cut)
    side = _side(cut)
    dark = tinted(pen.fabric.colour, 0.5)
    if body.laid and cut.neck != "turtle":
        pen.solid(
            closed([(0, 1.33), (neck[-1][0], neck[-1][1] - 0.03), (neck[-1][0] * 0.9, 1.5), neck[0]]), dark, False
        )
    if cut.front == "open":
        if body.laid:
            pen.solid(
                closed([(0, 1.36), (neck[-1][0], 1.32), (0.42, cut.hem - 0.06), (0, cut.hem - 0.06)]), dark, False
            )
        for flip in (1, -1):
            panel = [neck[-1], *side, (0.24, cut.hem + 0.02), (0.17, 2.6), (0.16, 1.9)]
            pen.cloth(flipped(panel, flip), 1.0 if flip > 0 else 1.03)
    else:
        pen.cloth(closed([*neck, *side, (0, cut.hem + 0.04)]))
    if cut.sleeve > 0:
        for flip, arm in zip((1, -1), body.arms, strict=True):
            _sleeve(pen, cut, arm, flip)
    _neck(pen, cut, neck, body.laid)
    _front(pen, cut, neck[0][1])
    _pockets(pen, cut)
    if cut.detail == "rib" or cut.neck in ("hood", "turtle"):
        x = side[-1][0]
        if cut.front == "open":
            for flip in (1, -1):
                pen.cloth(
                    flipped([(0.24, cut.hem - 0.16), (x - 0.01, cut.hem - 0.18), (x, cut.hem), (0.24, cut.hem)], flip),
                    0.9,
                )
        else:
            pen.cloth(
                closed([(0, cut.hem - 0.14), (x - 0.02, cut.hem - 0.18), (x - 0.03, cut.hem), (0, cut.hem + 0.04)]), 0.9
            )
    elif cut.front != "open":
        pen.line([(-side[-1][0] + 0.03, cut.hem - 0.07), (0, cut.hem - 0.03), (side[-1][0] - 0.03, cut.hem - 0.07)])


def _neckline(cut: Cut) -> list[Point]:
    """Return the right half of the neck's edge, from the middle up."""
    if cut.neck == "v":
        return [(0, 2.0 if cut.front == "closed" else 2.3), (0.27, 1.31)]
    if cut.neck == "lapel":
        return [(0, 2.55), (0.26, 1.31)]
    if cut.neck == "collar":
        return [(0, 1.66), (0.25, 1.29)]
    if cut.neck == "scoop":
        return [(0, 1.86), (0.22, 1.78), (0.36, 1.5), (0.4, 1.34)]
    if cut.neck == "strap":
        return [(0, 1.98), (0.2, 1.92), (0.33, 1.62), (0.36, 1.34)]
    if cut.neck == "turtle":
        return [(0, 1.42), (0.25, 1.3)]
    return [(0, 1.58), (0.16, 1.53), (0.26, 1.4), (0.28, 1.31)]


def _side(cut: Cut) -> list[Point]:
    """Return the right side of a torso from the shoulder to the hem."""
    ease = cut.ease
    if cut.neck == "strap":
        shoulder = [(0.5, 1.38), (0.48, 1.8), (0.6 + ease, 2.14)]
    elif cut.sleeve == 0:
        shoulder = [(0.68, 1.45), (0.6, 1.8), (0.62 + ease, 2.14)]
    else:
        shoulder = [TIP, (0.76 + ease / 2, 1.7), (UNDER[0] + ease, UNDER[1])]
    below = [(0.5 + 1.35 * ease, 2.85), (0.6 + ease, 3.4), (0.64 + ease + cut.flare, cut.hem)]
    if cut.hem < 3.5:
        below = [(0.52 + 1.3 * ease + cut.flare, cut.hem)]
    return [*shoulder, *below]


def _sleeve(pen: Pen, cut: Cut, arm: Limb, side: int) -> None:
    loose = cut.ease * 0.5
    width = 0.17 + loose if cut.sleeve > 0.8 else 0.25 + loose - 0.06 * cut.sleeve
    width += 0.14 if cut.detail == "bell" else 0.0
    outer, inner = beside(arm, cut.sleeve, width, side)
    tip, under = (TIP[0] * side, TIP[1]), ((UNDER[0] + cut.ease) * side, UNDER[1] + 0.04)
    outline = [tip, outer, inner, under]
    if cut.sleeve > 0.5:
        elbow_out, elbow_in = beside(arm, 0.5, 0.2 + loose, side)
        outline = [tip, elbow_out, outer, inner, elbow_in, under]
    _, (dx, dy) = along(arm, cut.sleeve * 0.4)
    turn = -math.degrees(math.atan2(dx, dy))
    pen.cloth([((0.62) * side, 1.46), *outline], 0.97, turn)
    cuffed = cut.sleeve > 0.8 and cut.detail != "bell"
    back = cut.sleeve - (0.075 if cuffed else 0.035)
    outer_back, inner_back = beside(arm, back, width + 0.01, side)
    if cuffed and (cut.detail in ("rib", "cuffs") or cut.neck in ("hood", "turtle", "collar")):
        pen.cloth([outer_back, outer, inner, inner_back], 0.9, turn)
    else:
        pen.line([outer_back, inner_back])


def _neck(pen: Pen, cut: Cut, neck: list[Point], laid: bool) -> None:
    edge = tinted(pen.fabric.colour, 0.82)
    if cut.neck == "collar":
        for side in (1, -1):
            pen.cloth(
                flipped([(0.0, 1.64), (0.17, 1.2), (0.27, 1.24), (0.38, 1.62), (0.2, 1.78)], side), 1.04, 20 * side
            )
    elif cut.neck == "lapel":
        for side in (1, -1):
            x = 0.16 if cut.front == "open" else 0.0
            lapel = [(x, 2.55), (0.12, 1.6), (0.2, 1.26), (0.34, 1.44), (0.46, 1.86), (0.36, 1.92), (0.4, 2.02)]
            pen.cloth(flipped(lapel, side), 1.06, 14 * side)
            pen.cloth(
                flipped([(0.15, 1.5), (0.17, 1.2), (0.28, 1.26), (0.42, 1.62), (0.34, 1.72)], side), 0.98, 20 * side
            )
    elif cut.neck == "hood":
        if laid:
            pen.cloth(closed([(0, 0.66), (0.34, 0.76), (0.47, 1.1), (0.4, 1.46), (0.2, 1.66), (0, 1.72)]), 0.95)
            pen.solid(
                closed([(0, 0.86), (0.22, 0.95), (0.28, 1.22), (0.18, 1.5), (0, 1.62)]), tinted(pen.fabric.colour, 0.5)
            )
        else:
            for side in (1, -1):
                pen.cloth(
                    flipped([(0.16, 1.16), (0.42, 1.2), (0.52, 1.42), (0.34, 1.66), (0.0, 1.8), (0.06, 1.56)], side),
                    0.95,
                )
        for side in (1, -1):
            pen.line(flipped([(0.13, 1.64), (0.15, 2.2)], side), IVORY, 0.035)
    elif cut.neck == "turtle":
        pen.cloth(closed([(0, 1.0), (0.22, 1.0), (0.27, 1.36), (0.12, 1.44), (0, 1.46)]), 0.95)
        pen.line([(-0.22, 1.2), (0.22, 1.2)])
    elif cut.front != "open":
        pen.line([*((-x, y) for x, y in reversed(neck)), *neck], edge, 0.075)
        pen.line([(-x * 1.1, y + 0.04) for x, y in reversed(neck)] + [(x * 1.1, y + 0.04) for x, y in neck])
    else:
        for side in (1, -1):
            pen.line(flipped([(0.27, 1.31), (0.16, 2.0), (0.17, 2.6), (0.24, cut.hem)], side), edge, 0.07)


def _front(pen: Pen, cut: Cut, start: float) -> None:
    button = IVORY if sum(pen.fabric.colour) < 480 else tinted(pen.fabric.colour, 0.5)
    if cut.front == "zip":
        top = 1.3 if cut.neck in ("collar", "turtle") else start
        pen.line([(0, top), (0, cut.hem)], tinted(pen.fabric.colour, 0.55), 0.05)
        pen.line([(0, top), (0, cut.hem)], STEEL, 0.022)
    elif cut.front == "buttons":
        pen.line([(0.07, start), (0.07, cut.hem - 0.02)])
        many = 3 if cut.neck == "lapel" else 7
        for y in np.linspace(start + 0.1, min(cut.hem, 4.4) - 0.25, many):
            pen.dot((0.0, float(y)), 0.03, button)
            if cut.detail == "double":
                pen.dot((0.3, float(y)), 0.035, button)
    elif cut.front == "polo":
        pen.line([(0.06, 1.66), (0.06, 2.15), (-0.06, 2.15), (-0.06, 1.7)])
        for y in (1.78, 1.92, 2.06):
            pen.dot((0, y), 0.025, button)


def _pockets(pen: Pen, cut: Cut) -> None:
    if cut.detail in ("pockets", "double"):
        y = 3.2 if cut.hem < 4.2 else 3.5
        for side in (1, -1):
            pen.cloth(flipped([(0.28, y - 0.06), (0.58, y - 0.1), (0.59, y + 0.04), (0.29, y + 0.08)], side), 0.96)
    elif cut.detail == "chest":
        pen.cloth([(0.2, 2.05), (0.48, 2.05), (0.48, 2.33), (0.34, 2.42), (0.2, 2.33)], 0.97)
    elif cut.detail == "biker":
        for side in (1, -1):
            pen.line(flipped([(0.26, 3.0), (0.5, 2.8)], side), STEEL, 0.03)
    elif cut.neck == "hood":
        pen.cloth(closed([(0, 2.82), (0.3, 2.82), (0.5, 3.2), (0.5, 3.36), (0, 3.36)]), 0.95)
    elif cut.detail == "quilted":
        for y in np.arange(1.75, cut.hem - 0.1, 0.32):
            pen.line(
                [(-0.56 - cut.ease, float(y) - 0.03), (0, float(y) + 0.03), (0.56 + cut.ease, float(y) - 0.03)],
                None,
                0.035,
            )


# --- below the waist --------------------------------------------------------------------------------------------------

WAIST = 2.98


def draw_trousers(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw trousers, jeans, leggings, shorts: `hem` on the leg, `ease` from tight to wide."""
    knee_w, hem_w = 0.2 + 0.55 * cut.ease, 0.14 + 0.9 * cut.ease + cut.flare
    short = cut.hem < 5.2
    for side, leg in ((-1, body.legs[1]), (1, body.legs[0])):
        share = min(1.0, (cut.hem - leg[0][1]) / (leg[2][1] - leg[0][1]))
        width = 0.31 + 0.45 * cut.ease if short else hem_w
        if not short and share < 0.97:
            width += 0.04
        outer, inner = beside(leg, share, width, side)
        crotch = (0.0, 3.98)
        half = [(0.0, WAIST), (0.5 * side, WAIST), ((0.64 + 0.4 * cut.ease) * side, 3.62), outer, inner, crotch]
        if not short:
            knee_out, knee_in = beside(leg, 0.52, knee_w, side)
            half = [*half[:3], knee_out, outer, inner, knee_in, crotch]
        pen.cloth(half, 1.0 if side > 0 else 0.96)
        (end_x, end_y), _ = along(leg, share)
        if cut.detail == "stripe":
            pen.line(
                [
                    (0.53 * side, WAIST + 0.1),
                    ((0.62 + 0.4 * cut.ease) * side, 3.62),
                    (half[3][0] - 0.03 * side, half[3][1]),
                    (outer[0] - 0.03 * side, outer[1]),
                ],
                IVORY,
                0.05,
            )
        if cut.detail in ("stripe", "cuffs") and not short:
            above_out, above_in = beside(leg, share - 0.05, width, side)
            pen.cloth([above_out, outer, inner, above_in], 0.88)
        elif cut.detail == "crease":
            pen.line(
                [(0.3 * side, WAIST + 0.3), (leg[1][0], leg[1][1]), (end_x, end_y)], tinted(pen.fabric.colour, 0.84)
            )
        if pen.fabric.surface == "denim":
            low_out, low_in = beside(leg, share - 0.02, width - 0.01, side)
            pen.line([low_out, low_in], THREAD, 0.016)
            knee_hi, knee_lo = (half[3][0] - 0.06 * side, half[3][1]), ((0.57 + 0.4 * cut.ease) * side, 3.7)
            pen.line([knee_lo, knee_hi], THREAD, 0.014)
    _waistband(pen, cut)


def _waistband(pen: Pen, cut: Cut) -> None:
    seam = THREAD if pen.fabric.surface == "denim" else None
    if cut.detail != "tight":
        for side in (1, -1):
            pen.line(flipped([(0.3, WAIST + 0.15), (0.36, WAIST + 0.36), (0.58, WAIST + 0.48)], side), seam)
        pen.line([(0, WAIST + 0.1), (0, 3.96)])
        pen.line([(0.13, WAIST + 0.15), (0.12, 3.6), (0.0, 3.78)], seam, 0.016)
    pen.cloth(closed([(0, WAIST - 0.02), (0.5, WAIST - 0.04), (0.52, WAIST + 0.14), (0, WAIST + 0.17)]), 0.93)
    if cut.detail in ("tight", "stripe"):
        if cut.detail == "stripe":
            for side in (1, -1):
                pen.line(flipped([(0.03, WAIST + 0.1), (0.09, WAIST + 0.55)], side), IVORY, 0.035)
        return
    for x in (-0.36, 0.36, -0.17, 0.17):
        pen.line([(x, WAIST - 0.04), (x, WAIST + 0.16)], None, 0.03)
    pen.dot((0, WAIST + 0.07), 0.04, GOLD if seam else tinted(pen.fabric.colour, 0.55))


def draw_skirt(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a skirt, pencil to full by `flare`."""
    _skirt(pen, cut, WAIST - 0.06)
    pen.cloth(closed([(0, WAIST - 0.06), (0.48, WAIST - 0.08), (0.5, WAIST + 0.08), (0, WAIST + 0.1)]), 0.92)
    if cut.detail == "buttons":
        pen.line([(0.07, WAIST + 0.1), (0.07, cut.hem)])
        for y in np.linspace(WAIST + 0.2, cut.hem - 0.25, 6):
            pen.dot((0, float(y)), 0.035, GOLD)


def _skirt(pen: Pen, cut: Cut, waist: float) -> None:
    end = 0.6 + cut.flare
    bow = 0.06 + 0.1 * cut.flare
    hip = 0.64 + 0.35 * cut.flare
    pen.cloth(
        closed(
            [
                (0, waist),
                (0.48, waist),
                (hip, min(3.62, (waist + cut.hem) / 2)),
                (end, cut.hem - bow),
                (end * 0.5, cut.hem),
                (0, cut.hem + bow * 0.3),
            ]
        )
    )
    many = {"pleats": 13, "folds": 6}.get(cut.detail, 5 if cut.flare > 0.25 else 0)
    for share in np.linspace(-0.86, 0.86, many):
        pen.line(
            [(0.47 * float(share), waist + 0.1), (end * float(share), cut.hem - bow * abs(float(share)))],
            tinted(pen.fabric.colour, 0.82),
        )
    if cut.detail == "slit":
        pen.line([(0.3, cut.hem - 0.7), (0.33, cut.hem)], tinted(pen.fabric.colour, 0.55), 0.03)


def draw_dress(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a dress: a bodice that goes on into a skirt."""
    neck, side = _neckline(cut), _side(Cut(sleeve=cut.sleeve, neck=cut.neck, ease=cut.ease, hem=3.0))
    if body.laid:
        pen.solid(
            closed([(0, 1.34), (neck[-1][0], neck[-1][1] - 0.02), (neck[-1][0] * 0.9, 1.5), neck[0]]),
            tinted(pen.fabric.colour, 0.5),
            False,
        )
    seam = 2.86
    if cut.detail == "shift":
        below = [(0.58 + cut.ease, 2.85), (0.66 + cut.ease, 3.6), (0.66 + cut.flare, cut.hem), (0, cut.hem + 0.03)]
        pen.cloth(closed([*neck, *side[:-1], *below]))
    else:
        _skirt(pen, cut, seam)
        pen.cloth(closed([*neck, *side[:-1], (0.48, seam), (0, seam + 0.03)]))
        if cut.detail == "belt":
            pen.solid(
                closed([(0, seam - 0.06), (0.49, seam - 0.08), (0.49, seam + 0.06), (0, seam + 0.09)]),
                tinted(pen.fabric.colour, 0.6),
            )
        else:
            pen.line([(-0.48, seam), (0, seam + 0.03), (0.48, seam)], None, 0.03)
    if cut.sleeve > 0:
        for flip, arm in zip((1, -1), body.arms, strict=True):
            _sleeve(pen, cut, arm, flip)
    _neck(pen, cut, neck, body.laid)
    if cut.front == "buttons":
        _front(pen, cut, neck[0][1])


def draw_jumpsuit(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a jumpsuit: a bodice with trousers in one; with a bib and straps instead if the detail says so."""
    draw_trousers(pen, cut if cut.detail == "bib" else Cut(hem=cut.hem, ease=cut.ease, detail="tight"), body)
    if cut.detail == "bib":
        for side in (1, -1):
            pen.line(flipped([(0.3, 2.2), (0.36, 1.8), (0.36, 1.42)], side), tinted(pen.fabric.colour, 0.9), 0.13)
        pen.cloth(closed([(0, 2.1), (0.36, 2.1), (0.4, 2.6), (0.56, 2.98), (0.52, 3.1), (0, 3.12)]))
        pen.cloth(closed([(0, 2.36), (0.22, 2.36), (0.22, 2.72), (0, 2.8)]), 0.96)
        for side in (1, -1):
            pen.dot((0.3 * side, 2.2), 0.05, GOLD)
        return
    neck, side_points = _neckline(cut), _side(Cut(sleeve=cut.sleeve, neck=cut.neck, ease=cut.ease, hem=3.05))
    if body.laid:
        pen.solid(
            closed([(0, 1.34), (neck[-1][0], neck[-1][1] - 0.02), (neck[-1][0] * 0.9, 1.5), neck[0]]),
            tinted(pen.fabric.colour, 0.5),
            False,
        )
    pen.cloth(closed([*neck, *side_points[:-1], (0.5, 3.0), (0, 3.04)]))
    if cut.sleeve > 0:
        for flip, arm in zip((1, -1), body.arms, strict=True):
            _sleeve(pen, cut, arm, flip)
    _neck(pen, cut, neck, body.laid)
    _front(pen, Cut(front=cut.front, neck=cut.neck, hem=3.0), neck[0][1])
    pen.solid(closed([(0, 2.92), (0.5, 2.9), (0.51, 3.06), (0, 3.09)]), tinted(pen.fabric.colour, 0.72))
    pen.line([(0.06, 3.0), (0.14, 3.4)], tinted(pen.fabric.colour, 0.72), 0.06)
    pen.line([(0.02, 3.0), (-0.06, 3.34)], tinted(pen.fabric.colour, 0.72), 0.06)
