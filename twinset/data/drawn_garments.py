"""How garments are drawn: each function draws one kind into a pen's part, from its cut. drawn_kinds.py lists the kinds.

Coordinates run from 0 to 1, y down. On a figure the same functions draw into the part of the body the garment covers.
"""

from dataclasses import dataclass

import numpy as np

from twinset.data.drawn_pen import Pen, Rgb, darker, mirrored

GOLD: Rgb = (196, 160, 84)
STEEL: Rgb = (168, 172, 178)
SOLE: Rgb = (238, 236, 230)
LENS: Rgb = (52, 54, 60)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a garment is cut. What a kind has no use for it passes over."""

    sleeve: float = 0.35  # 0 none to 1 long
    neck: str = "round"  # round v collar hood turtle
    front: str = "closed"  # closed buttons zip open
    length: float = 1.0  # share of the part it fills
    width: float = 0.5  # 0 narrow to 1 wide
    pockets: bool = False


def draw_top(pen: Pen, cut: Cut) -> None:
    """Draw what covers the torso: T-shirt, shirt, sweater, jacket, coat."""
    hem, wide = cut.length, 0.27 - 0.05 * cut.width
    if cut.sleeve > 0:
        reach = cut.sleeve
        out_x, out_y = 0.21 - 0.19 * reach, 0.24 + 0.62 * reach
        in_x, in_y = 0.27 - 0.15 * reach, 0.33 + 0.55 * reach
        for flip in (False, True):
            sleeve = [(0.31, 0.05), (0.2, 0.12), (out_x, out_y), (in_x, in_y), (0.3, 0.36)]
            pen.cloth([(1 - x, y) for x, y in sleeve] if flip else sleeve, light=0.93, rounds=1)
            if cut.sleeve > 0.8 or cut.neck in ("hood", "turtle"):
                ends = [(out_x + 0.012, out_y - 0.05), (in_x + 0.002, in_y - 0.05)]
                pen.line([(1 - x, y) for x, y in ends] if flip else ends)
    dip = {"v": 0.2, "collar": 0.1, "turtle": 0.02, "hood": 0.08}.get(cut.neck, 0.1)
    shoulder = 0.3 if cut.sleeve > 0 else 0.33
    body = [(0.5, dip), (0.42, 0.045), (0.39, 0.02), (shoulder, 0.06), (0.29 if cut.sleeve else 0.3, 0.32), (wide, hem)]
    pen.cloth(mirrored(body), rounds=1)
    inside = [(0.5, 0.055), (0.42, 0.035), (0.39, 0.022), (0.44, dip * 0.7), (0.5, dip)]
    if cut.neck != "turtle":
        pen.solid(mirrored(inside), darker(pen.fabric.colour, 0.55), rounds=1, outline=False)
    _neck(pen, cut, dip)
    _front(pen, cut, dip, wide)
    if cut.neck in ("hood", "turtle") or cut.front == "closed":
        pen.line([(wide + 0.008, hem - 0.045), (1 - wide - 0.008, hem - 0.045)])
    if cut.pockets:
        for x in (0.33, 0.57):
            y = 0.66 * hem
            pen.line([(x, y), (x + 0.1, y), (x + 0.1, y + 0.12), (x, y + 0.12), (x, y)])


def _neck(pen: Pen, cut: Cut, dip: float) -> None:
    edge = darker(pen.fabric.colour, 0.62)
    if cut.neck == "collar":
        for flip in (False, True):
            flap = [(0.39, 0.015), (0.45, 0.0), (0.5, dip), (0.43, dip + 0.06), (0.36, 0.06)]
            pen.cloth([(1 - x, y) for x, y in flap] if flip else flap, light=1.06, rounds=1)
    elif cut.neck == "hood":
        pen.cloth(mirrored([(0.5, -0.06), (0.4, -0.03), (0.35, 0.06), (0.42, 0.12), (0.5, 0.1)]), light=0.9)
        for x in (0.46, 0.54):
            pen.line([(x, 0.1), (x, 0.3)], SOLE, 4)
    elif cut.neck == "turtle":
        pen.cloth(mirrored([(0.41, -0.055), (0.4, 0.04), (0.46, 0.06)]), light=0.95)
    elif cut.neck == "v":
        pen.line([(0.395, 0.03), (0.5, dip), (0.605, 0.03)], edge, 5)
    else:
        pen.curve([(0.395, 0.03), (0.43, dip * 1.3), (0.57, dip * 1.3), (0.605, 0.03)], edge, 5)


def _front(pen: Pen, cut: Cut, dip: float, wide: float) -> None:
    hem = cut.length
    if cut.front == "open":
        gap = [(0.5, dip), (0.46, 0.4), (0.44, hem), (0.56, hem), (0.54, 0.4)]
        pen.solid(gap, darker(pen.fabric.colour, 0.4), rounds=1)
    elif cut.front != "closed":
        pen.line([(0.5, dip), (0.5, hem)], STEEL if cut.front == "zip" else None, 5 if cut.front == "zip" else 3)
    if cut.front == "buttons":
        button = SOLE if sum(pen.fabric.colour) < 500 else darker(pen.fabric.colour, 0.5)
        for y in np.linspace(dip + 0.06, hem - 0.08, 6):
            pen.dot((0.515, float(y)), 5, button)


def draw_trousers(pen: Pen, cut: Cut) -> None:
    """Draw trousers, jeans, leggings, shorts: by `length` and `width`."""
    hem, flare = cut.length, 0.08 + 0.12 * cut.width
    inner = 0.5 - 0.03
    crotch = 0.3
    outer_end = 0.3 - flare
    half = [(0.27, 0.0), (0.22, 0.14), (0.2, crotch), (outer_end, hem), (inner - 0.02, hem), (0.495, crotch)]
    for flip in (True, False):
        pen.cloth([(1 - x, y) for x, y in half] + [(0.5, 0.0)] if flip else [*half, (0.5, 0.0)], rounds=1)
    pen.cloth(mirrored([(0.265, 0.0), (0.26, 0.055), (0.5, 0.06)]), light=0.92, rounds=0)
    pen.line([(0.5, 0.05), (0.5, crotch)])
    for flip in (False, True):
        pocket = [(0.29, 0.06), (0.3, 0.12), (0.23, 0.15)]
        pen.line([(1 - x, y) for x, y in pocket] if flip else pocket)
        if pen.fabric.pattern == "denim":
            seam = [(0.36 - flare / 2, 0.2), (0.38 - flare * 0.9, hem - 0.02)]
            pen.line([(1 - x, y) for x, y in seam] if flip else seam, GOLD, 2)
    pen.dot((0.5, 0.03), 6, GOLD if pen.fabric.pattern == "denim" else darker(pen.fabric.colour, 0.5))


def draw_skirt(pen: Pen, cut: Cut) -> None:
    """Draw a skirt: pencil to full by `width`."""
    hem, flare = cut.length, 0.24 - 0.24 * cut.width
    pen.cloth(mirrored([(0.3, 0.0), (0.28, 0.1), (flare, hem * 0.97), (0.35, hem), (0.5, hem)]), rounds=1)
    pen.cloth(mirrored([(0.3, 0.0), (0.295, 0.07), (0.5, 0.075)]), light=0.9, rounds=0)
    for share in np.linspace(-0.8, 0.8, 5 if cut.width > 0.4 else 2):
        x_end = 0.5 + float(share) * (0.5 - flare)
        pen.line([(0.5 + float(share) * 0.18, 0.1), (x_end, hem * 0.96)], width=2)


def draw_dress(pen: Pen, cut: Cut) -> None:
    """Draw a dress: a top that goes on into a skirt."""
    hem, flare = cut.length, 0.26 - 0.24 * cut.width
    if cut.sleeve > 0:
        for flip in (False, True):
            sleeve = [(0.34, 0.03), (0.26, 0.06), (0.23 - 0.14 * cut.sleeve, 0.14 + 0.34 * cut.sleeve)]
            sleeve += [(0.3 - 0.14 * cut.sleeve, 0.18 + 0.32 * cut.sleeve), (0.34, 0.2)]
            pen.cloth([(1 - x, y) for x, y in sleeve] if flip else sleeve, light=0.93, rounds=1)
    dip = 0.12 if cut.neck == "v" else 0.06
    half = [(0.5, dip), (0.43, 0.03), (0.41, 0.01), (0.35, 0.03), (0.33, 0.19), (0.36, 0.37), (0.3, 0.5)]
    half += [(flare, hem * 0.98), (0.35, hem), (0.5, hem)]
    pen.cloth(mirrored(half), rounds=1)
    pen.line([(0.355, 0.375), (0.645, 0.375)], width=5)
    for share in np.linspace(-0.7, 0.7, 4):
        pen.line([(0.5 + float(share) * 0.14, 0.4), (0.5 + float(share) * (0.5 - flare), hem * 0.96)], width=2)
    pen.curve([(0.41, 0.02), (0.45, dip * 1.35), (0.55, dip * 1.35), (0.59, 0.02)], width=4)


def draw_jumpsuit(pen: Pen, cut: Cut) -> None:
    """Draw a jumpsuit: a bodice with trousers in one."""
    hem, flare = cut.length, 0.05 + 0.1 * cut.width
    half = [(0.28, 0.36), (0.24, 0.5), (0.27 - flare, hem), (0.47, hem), (0.495, 0.58)]
    for flip in (True, False):
        pen.cloth([(1 - x, y) for x, y in half] + [(0.5, 0.36)] if flip else [*half, (0.5, 0.36)], rounds=1)
    if cut.sleeve > 0:
        for flip in (False, True):
            sleeve = [(0.34, 0.02), (0.26, 0.04), (0.21 - 0.1 * cut.sleeve, 0.12 + 0.24 * cut.sleeve), (0.31, 0.17)]
            pen.cloth([(1 - x, y) for x, y in sleeve] if flip else sleeve, light=0.93, rounds=1)
    bodice = [(0.5, 0.1), (0.42, 0.02), (0.34, 0.02), (0.31, 0.16), (0.31, 0.37), (0.5, 0.38)]
    pen.cloth(mirrored(bodice), rounds=1)
    pen.line([(0.31, 0.37), (0.69, 0.37)], width=6)
    pen.line([(0.42, 0.03), (0.5, 0.1), (0.58, 0.03)], width=4)
    for y in (0.16, 0.22, 0.28):
        pen.dot((0.5, y), 5, GOLD)


def draw_sneaker(pen: Pen, cut: Cut) -> None:
    """Draw a laced shoe from its side, toe to the right."""
    upper = [(0.05, 0.3), (0.12, 0.22), (0.3, 0.24), (0.42, 0.2), (0.62, 0.5), (0.9, 0.58), (0.97, 0.76), (0.04, 0.76)]
    pen.cloth(upper)
    pen.solid([(0.02, 0.72), (0.98, 0.74), (0.98, 0.9), (0.06, 0.92)], SOLE, rounds=2)
    for i in range(4):
        x, y = 0.43 + 0.05 * i, 0.26 + 0.07 * i
        pen.line([(x - 0.05, y + 0.08), (x + 0.03, y)], SOLE, 5)
    pen.curve([(0.15, 0.66), (0.3, 0.6), (0.42, 0.5), (0.5, 0.36)], SOLE, 6)


def draw_heel(pen: Pen, cut: Cut) -> None:
    """Draw a pump from its side."""
    pen.solid([(0.06, 0.34), (0.16, 0.4), (0.14, 0.92), (0.08, 0.92)], darker(pen.fabric.colour, 0.6), rounds=1)
    body = [(0.04, 0.22), (0.1, 0.16), (0.22, 0.34), (0.5, 0.64), (0.68, 0.66), (0.95, 0.82), (0.96, 0.9), (0.62, 0.9)]
    pen.cloth([*body, (0.36, 0.72), (0.16, 0.48), (0.05, 0.42)])


def draw_boot(pen: Pen, cut: Cut) -> None:
    """Draw an ankle boot from its side."""
    body = [(0.12, 0.02), (0.5, 0.02), (0.52, 0.42), (0.66, 0.56), (0.93, 0.66), (0.97, 0.84), (0.08, 0.84), (0.1, 0.5)]
    pen.cloth(body)
    pen.solid(
        [(0.07, 0.82), (0.98, 0.82), (0.97, 0.89), (0.36, 0.89), (0.33, 0.96), (0.08, 0.96)], (46, 40, 36), rounds=1
    )
    pen.line([(0.36, 0.06), (0.37, 0.5)], STEEL, 4)


def draw_sandal(pen: Pen, cut: Cut) -> None:
    """Draw a strapped sandal from its side."""
    pen.solid([(0.04, 0.72), (0.5, 0.74), (0.97, 0.78), (0.97, 0.88), (0.05, 0.9)], (150, 108, 66), rounds=2)
    for strap in (
        [(0.1, 0.72), (0.2, 0.3), (0.3, 0.28), (0.26, 0.74)],
        [(0.56, 0.76), (0.66, 0.52), (0.82, 0.56), (0.88, 0.78)],
    ):
        pen.cloth(strap, rounds=2)
    pen.line([(0.12, 0.42), (0.36, 0.42)], width=10)
    pen.dot((0.3, 0.42), 6, GOLD)


def draw_flat(pen: Pen, cut: Cut) -> None:
    """Draw a ballerina or loafer from its side."""
    body = [
        (0.04, 0.42),
        (0.12, 0.4),
        (0.24, 0.6),
        (0.52, 0.62),
        (0.62, 0.52),
        (0.92, 0.64),
        (0.97, 0.82),
        (0.05, 0.84),
    ]
    pen.cloth(body)
    pen.solid([(0.05, 0.82), (0.97, 0.82), (0.96, 0.88), (0.06, 0.88)], darker(pen.fabric.colour, 0.5), rounds=1)
    pen.solid([(0.56, 0.54), (0.64, 0.5), (0.68, 0.58), (0.6, 0.62)], GOLD, rounds=1)


def draw_tote(pen: Pen, cut: Cut) -> None:
    """Draw a bag with two handles."""
    for shift in (-0.02, 0.03):
        pen.curve([(0.3 + shift, 0.38), (0.32, -0.1), (0.68, -0.1), (0.7 + shift, 0.38)], darker(pen.fabric.colour), 12)
    pen.cloth(mirrored([(0.14, 0.34), (0.06, 0.96), (0.2, 1.0), (0.5, 1.0)]), rounds=1)
    pen.line([(0.13, 0.42), (0.87, 0.42)])
    for x in (0.3, 0.7):
        pen.dot((x, 0.39), 9, GOLD)


def draw_shoulder_bag(pen: Pen, cut: Cut) -> None:
    """Draw a bag with a flap and a clasp."""
    pen.curve([(0.16, 0.48), (0.2, -0.06), (0.8, -0.06), (0.84, 0.48)], darker(pen.fabric.colour), 8)
    pen.cloth(mirrored([(0.1, 0.44), (0.06, 0.92), (0.16, 0.98), (0.5, 0.98)]), rounds=2)
    pen.cloth(mirrored([(0.1, 0.43), (0.1, 0.6), (0.3, 0.76), (0.5, 0.78)]), light=1.06, rounds=2)
    pen.dot((0.5, 0.72), 12, GOLD)


def draw_backpack(pen: Pen, cut: Cut) -> None:
    """Draw a backpack from its front."""
    pen.curve([(0.4, 0.1), (0.4, -0.06), (0.6, -0.06), (0.6, 0.1)], darker(pen.fabric.colour), 10)
    for x in (0.08, 0.92):
        pen.curve([(0.5, 0.2), (x, 0.2), (x, 0.6), (0.5 + (x - 0.5) * 0.7, 0.92)], darker(pen.fabric.colour), 14)
    pen.cloth(mirrored([(0.5, 0.05), (0.25, 0.08), (0.16, 0.3), (0.15, 0.9), (0.25, 1.0), (0.5, 1.0)]), rounds=2)
    pen.cloth(mirrored([(0.26, 0.55), (0.25, 0.9), (0.5, 0.93)]), light=0.92, rounds=1)
    pen.curve([(0.2, 0.45), (0.3, 0.22), (0.7, 0.22), (0.8, 0.45)], STEEL, 4)
    pen.line([(0.28, 0.63), (0.72, 0.63)], STEEL, 4)


def draw_clutch(pen: Pen, cut: Cut) -> None:
    """Draw a flat bag held in the hand."""
    pen.cloth(mirrored([(0.04, 0.24), (0.03, 0.8), (0.5, 0.82)]), rounds=1)
    pen.cloth([(0.04, 0.23), (0.96, 0.23), (0.5, 0.62)], light=1.05, rounds=1)
    pen.dot((0.5, 0.56), 10, GOLD)


def draw_cap(pen: Pen, cut: Cut) -> None:
    """Draw a baseball cap, its visor to the right."""
    pen.cloth([(0.6, 0.66), (0.8, 0.64), (0.99, 0.78), (0.92, 0.86), (0.6, 0.8)], light=0.8)
    pen.cloth([(0.05, 0.74), (0.08, 0.42), (0.24, 0.16), (0.42, 0.1), (0.62, 0.2), (0.72, 0.44), (0.74, 0.74)])
    pen.curve([(0.4, 0.12), (0.3, 0.3), (0.28, 0.5), (0.3, 0.74)], width=3)
    pen.dot((0.41, 0.1), 8, darker(pen.fabric.colour))


def draw_sun_hat(pen: Pen, cut: Cut) -> None:
    """Draw a hat with a wide brim."""
    pen.cloth(pen.oval((0.5, 0.7), 0.49, 0.17), light=0.95, rounds=0)
    pen.cloth([(0.25, 0.68), (0.3, 0.28), (0.42, 0.18), (0.58, 0.18), (0.7, 0.28), (0.75, 0.68), (0.5, 0.74)], rounds=2)
    pen.solid([(0.262, 0.55), (0.738, 0.55), (0.75, 0.67), (0.5, 0.72), (0.25, 0.67)], pen.fabric.second, rounds=1)


def draw_beanie(pen: Pen, cut: Cut) -> None:
    """Draw a knitted cap with a turned-up edge."""
    pen.cloth(mirrored([(0.5, 0.1), (0.25, 0.16), (0.12, 0.5), (0.13, 0.7), (0.5, 0.72)]), rounds=2)
    for x in np.linspace(0.2, 0.8, 9):
        pen.line([(0.5 + (float(x) - 0.5) * 0.6, 0.2), (float(x), 0.66)], width=2)
    pen.cloth(mirrored([(0.1, 0.62), (0.1, 0.86), (0.5, 0.88)]), light=0.92, rounds=1)
    pen.dot((0.5, 0.09), 22, pen.fabric.second)


def _spectacles(pen: Pen, lens: Rgb | None) -> None:
    frame = pen.fabric.colour
    for flip in (False, True):
        temple = [(0.06, 0.42), (0.0, 0.36), (0.02, 0.22)]
        pen.line([(1 - x, y) for x, y in temple] if flip else temple, frame, 9)
        rim = [(0.05, 0.38), (0.26, 0.34), (0.44, 0.4), (0.43, 0.58), (0.33, 0.72), (0.16, 0.72), (0.06, 0.56)]
        rim = [(1 - x, y) for x, y in rim] if flip else rim
        pen.solid(rim, frame, rounds=2)
        cx, cy = (0.755, 0.53) if flip else (0.245, 0.53)
        inner = [(cx + (x - cx) * 0.8, cy + (y - cy) * 0.78) for x, y in rim]
        pen.solid(inner, lens or (226, 234, 240), rounds=2, outline=False)
        shine = [(cx - 0.09, cy - 0.02), (cx - 0.03, cy - 0.1)]
        pen.line(shine, (150, 156, 166) if lens else (255, 255, 255), 5)
    pen.curve([(0.43, 0.46), (0.47, 0.38), (0.53, 0.38), (0.57, 0.46)], frame, 9)


def draw_sunglasses(pen: Pen, cut: Cut) -> None:
    """Draw glasses with dark lenses."""
    _spectacles(pen, LENS)


def draw_eyeglasses(pen: Pen, cut: Cut) -> None:
    """Draw glasses with clear lenses."""
    _spectacles(pen, None)


def draw_belt(pen: Pen, cut: Cut) -> None:
    """Draw a belt lying in a loose loop, its buckle in front."""
    outer, inner = pen.oval((0.5, 0.45), 0.46, 0.24), pen.oval((0.5, 0.4), 0.42, 0.19)
    pen.solid(inner, darker(pen.fabric.colour, 0.55), rounds=0)
    half = len(outer) // 2 + 1
    pen.cloth([*outer[:half], *[(x, y - 0.14) for x, y in reversed(outer[:half])]], rounds=0)
    pen.solid([(0.42, 0.5), (0.58, 0.5), (0.58, 0.74), (0.42, 0.74)], STEEL, rounds=0)
    pen.cloth([(0.45, 0.54), (0.55, 0.54), (0.55, 0.7), (0.45, 0.7)], rounds=0)
    pen.line([(0.5, 0.62), (0.58, 0.62)], STEEL, 7)
    for x in (0.64, 0.7, 0.76):
        pen.dot((x, 0.6 - (x - 0.5) * 0.16), 4, darker(pen.fabric.colour, 0.4))


def draw_waist_belt(pen: Pen, cut: Cut) -> None:
    """Draw a belt as it is worn: a band with a buckle."""
    pen.cloth([(0.0, 0.1), (1.0, 0.1), (1.0, 0.9), (0.0, 0.9)], rounds=0)
    pen.solid([(0.42, -0.05), (0.58, -0.05), (0.58, 1.05), (0.42, 1.05)], GOLD, rounds=0)


def draw_scarf(pen: Pen, cut: Cut) -> None:
    """Draw a scarf: a loop around the neck and two hanging ends."""
    for x, slant in ((0.36, -0.06), (0.54, 0.07)):
        end = [(x, 0.2), (x + 0.2, 0.2), (x + 0.2 + slant, 0.94), (x + slant, 0.94)]
        pen.cloth(end, light=0.95, rounds=1)
        for i in range(7):
            fringe = x + slant + 0.015 + 0.028 * i
            pen.line([(fringe, 0.94), (fringe, 1.0)], pen.fabric.colour, 4)
    pen.cloth(mirrored([(0.5, 0.0), (0.26, 0.03), (0.2, 0.16), (0.32, 0.3), (0.5, 0.34)]), rounds=2)
    pen.solid(mirrored([(0.5, 0.05), (0.36, 0.06), (0.34, 0.1), (0.5, 0.14)]), darker(pen.fabric.colour, 0.5), rounds=2)
    for bend in (0.2, 0.26):
        pen.curve([(0.26, 0.14), (0.34, bend + 0.06), (0.66, bend + 0.06), (0.74, 0.14)], width=2)
