"""Shoes, bags, hats, glasses, belts and scarves, each drawn by one function.

Hats, glasses, worn belts and scarves stand where they are worn, in heads as clothes do. A shoe is one unit long, toe to
the right, the ground at y = 0. A bag is about one unit wide and hangs from (0, 0).
"""

import numpy as np

from twinset.data.drawn_clothes import GOLD, IVORY, STEEL, Body, Cut
from twinset.data.drawn_pen import Pen, Point, Rgb, bezier, closed, flipped, oval, tinted

LENS: Rgb = (50, 52, 58)
CORK: Rgb = (178, 132, 84)
RUBBER: Rgb = (52, 46, 44)

# --- shoes ------------------------------------------------------------------------------------------------------------


def draw_sneaker(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a laced shoe; a running shoe if the detail says so."""
    running = cut.detail == "running"
    upper = [(0.03, -0.08), (0.01, -0.3), (0.04, -0.44), (0.13, -0.4), (0.26, -0.4), (0.36, -0.5), (0.43, -0.46)]
    upper += [(0.56, -0.3), (0.74, -0.23), (0.92, -0.2), (0.99, -0.1), (0.99, -0.06)]
    pen.cloth(upper)
    pen.solid(oval((0.23, -0.41), 0.12, 0.035), tinted(pen.fabric.colour, 0.5), False)
    pen.cloth([(0.74, -0.235), (0.9, -0.205), (0.985, -0.1), (0.985, -0.07), (0.72, -0.07)], 1.06)
    pen.cloth([(0.02, -0.08), (0.015, -0.3), (0.05, -0.4), (0.13, -0.3), (0.15, -0.08)], 0.88)
    accent = IVORY if sum(pen.fabric.colour) < 560 else tinted(pen.fabric.second, 0.9)
    if running:
        pen.line(bezier([(0.24, -0.13), (0.4, -0.12), (0.5, -0.18), (0.58, -0.3)]), accent, 0.05)
        pen.line(bezier([(0.32, -0.1), (0.46, -0.1), (0.56, -0.16), (0.66, -0.26)]), accent, 0.03)
    for i in range(4):
        x, y = 0.41 + 0.07 * i, -0.42 + 0.055 * i
        pen.line([(x - 0.05, y + 0.09), (x + 0.035, y - 0.005)], accent, 0.028)
    sole = [(0.0, -0.1), (0.5, -0.085), (0.95, -0.11), (1.01, -0.06), (0.97, 0.0), (0.05, 0.0)]
    if running:
        sole = [(-0.03, -0.12), (0.3, -0.12), (0.6, -0.08), (1.0, -0.11), (1.03, -0.06), (0.94, -0.01), (0.06, 0.01)]
    pen.solid(sole, IVORY)
    pen.line([(0.06, -0.035), (0.95, -0.035)], tinted(IVORY, 0.8) if not running else pen.fabric.second, 0.018)


def draw_formal(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a laced leather shoe, or a loafer if the detail says so."""
    upper = [(0.03, -0.07), (0.01, -0.26), (0.05, -0.38), (0.2, -0.32), (0.33, -0.34), (0.42, -0.37), (0.52, -0.27)]
    pen.cloth([*upper, (0.72, -0.2), (0.9, -0.17), (1.0, -0.1), (1.0, -0.06)])
    pen.solid(oval((0.2, -0.33), 0.15, 0.03), tinted(pen.fabric.colour, 0.45), False)
    if cut.detail == "loafer":
        pen.line(bezier([(0.44, -0.15), (0.62, -0.26), (0.8, -0.22), (0.93, -0.14)]))
        pen.cloth([(0.42, -0.36), (0.52, -0.31), (0.6, -0.1), (0.48, -0.1)], 0.85)
        pen.line([(0.49, -0.24), (0.56, -0.22)], GOLD, 0.04)
    else:
        pen.line([(0.74, -0.2), (0.7, -0.07)], None, 0.014)
        pen.line(bezier([(0.32, -0.3), (0.36, -0.2), (0.46, -0.14), (0.58, -0.22)]))
        for i in range(3):
            pen.line(
                [(0.37 + 0.05 * i, -0.24), (0.43 + 0.045 * i, -0.34 + 0.035 * i)], tinted(pen.fabric.colour, 0.4), 0.022
            )
    pen.solid([(0.02, -0.075), (1.01, -0.075), (0.98, -0.03), (0.34, -0.03), (0.32, 0.0), (0.03, 0.0)], RUBBER)


def draw_heel(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a pump; strapped around the ankle if the detail says so."""
    dark = tinted(pen.fabric.colour, 0.62)
    pen.solid([(0.02, -0.44), (0.16, -0.4), (0.1, -0.2), (0.085, 0.0), (0.045, 0.0), (0.05, -0.2)], dark)
    inside = [(0.03, -0.66), (0.16, -0.6), (0.4, -0.34), (0.62, -0.25), (0.5, -0.22), (0.2, -0.4)]
    pen.solid(inside, (206, 178, 150))
    shoe = [(0.02, -0.68), (0.0, -0.5), (0.04, -0.36), (0.18, -0.33), (0.34, -0.2), (0.5, -0.05), (0.64, 0.0)]
    shoe += [(0.94, 0.0), (1.01, -0.03), (0.9, -0.12), (0.72, -0.25), (0.62, -0.27), (0.5, -0.2), (0.36, -0.25)]
    pen.cloth([*shoe, (0.2, -0.44), (0.1, -0.62)])
    pen.line([(0.1, -0.31), (0.34, -0.18), (0.5, -0.03), (0.65, 0.005), (0.95, 0.005)], dark, 0.025)
    if cut.detail == "strap":
        pen.line(bezier([(0.03, -0.66), (0.1, -0.8), (0.28, -0.8), (0.32, -0.68)]), pen.fabric.colour, 0.04)
        pen.dot((0.3, -0.72), 0.03, GOLD)


def draw_boot(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw an ankle boot: laced, or with elastic at its side."""
    tall = -1.25 if cut.detail == "tall" else -0.78
    shaft = [(0.05, -0.08), (0.02, -0.3), (0.06, -0.5), (0.03, tall), (0.44, tall), (0.42, -0.5), (0.5, -0.36)]
    pen.solid([(0.04, tall), (0.23, tall - 0.03), (0.43, tall), (0.23, tall + 0.04)], tinted(pen.fabric.colour, 0.45))
    pen.cloth([*shaft, (0.7, -0.27), (0.9, -0.22), (1.0, -0.1), (0.98, -0.06)])
    if cut.detail == "laced":
        for i in range(6):
            x, y = 0.4 + 0.12 * max(0, i - 3), -0.68 + 0.085 * i
            pen.line([(x - 0.1, y + 0.05), (x + 0.01, y)], tinted(pen.fabric.second, 0.8), 0.026)
    elif cut.detail == "tall":
        pen.line([(0.22, tall), (0.22, -0.4)], tinted(pen.fabric.colour, 0.75), 0.015)
    else:
        pen.solid(
            [(0.16, tall + 0.06), (0.32, tall + 0.06), (0.27, -0.42), (0.22, -0.42)], tinted(pen.fabric.colour, 0.6)
        )
    pen.line([(0.55, -0.3), (0.6, -0.08)], None, 0.014)
    pen.solid([(0.02, -0.09), (1.01, -0.09), (1.0, -0.03), (0.34, -0.03), (0.32, 0.0), (0.03, 0.0)], RUBBER)


def draw_sandal(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a strapped sandal on a cork sole."""
    pen.solid([(0.02, -0.15), (0.4, -0.1), (0.8, -0.08), (1.0, -0.1), (1.0, -0.03), (0.94, 0.0), (0.04, 0.0)], CORK)
    pen.solid([(0.03, -0.18), (0.4, -0.13), (0.98, -0.12), (0.98, -0.1), (0.02, -0.14)], tinted(CORK, 0.7))
    pen.cloth([(0.04, -0.16), (0.04, -0.4), (0.12, -0.4), (0.14, -0.15)], 0.94)
    for x, top in ((0.52, -0.34), (0.74, -0.27)):
        pen.cloth([(x - 0.08, -0.12), (x - 0.03, top), (x + 0.07, top + 0.02), (x + 0.13, -0.11)])
    pen.cloth(
        [(0.06, -0.42), (0.24, -0.46), (0.36, -0.38), (0.42, -0.13), (0.33, -0.13), (0.28, -0.32), (0.08, -0.34)], 1.03
    )
    pen.solid([(0.2, -0.46), (0.28, -0.46), (0.28, -0.36), (0.2, -0.36)], GOLD)
    pen.line([(0.04, -0.02), (0.96, -0.02)], RUBBER, 0.035)


def draw_flat(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a ballerina with a bow."""
    pen.solid([(0.06, -0.24), (0.3, -0.2), (0.6, -0.19), (0.4, -0.12), (0.1, -0.16)], (214, 190, 164))
    body_line = [(0.03, -0.04), (0.01, -0.18), (0.05, -0.27), (0.14, -0.2), (0.34, -0.13), (0.54, -0.14), (0.66, -0.22)]
    pen.cloth([*body_line, (0.8, -0.2), (0.95, -0.13), (1.0, -0.06), (0.97, -0.03)])
    for flip in (1, -1):
        pen.cloth([(0.65, -0.2), (0.65 + 0.09 * flip, -0.27), (0.65 + 0.09 * flip, -0.16)], 1.08)
    pen.dot((0.65, -0.21), 0.02, tinted(pen.fabric.colour, 0.75))
    pen.solid([(0.02, -0.045), (0.98, -0.045), (0.96, 0.0), (0.04, 0.0)], RUBBER)


def draw_flip_flop(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a flip-flop: a flat sole with a thong."""
    pen.solid(
        [(0.0, -0.1), (0.4, -0.07), (0.96, -0.1), (1.02, -0.05), (0.96, 0.0), (0.03, 0.0)],
        tinted(pen.fabric.colour, 0.7),
    )
    pen.solid([(0.02, -0.13), (0.4, -0.1), (0.96, -0.13), (1.0, -0.09), (0.5, -0.05), (0.02, -0.08)], IVORY)
    pen.line(bezier([(0.34, -0.08), (0.46, -0.28), (0.64, -0.32), (0.78, -0.11)]), pen.fabric.colour, 0.07)
    pen.line(bezier([(0.44, -0.09), (0.56, -0.2), (0.68, -0.24), (0.78, -0.11)]), tinted(pen.fabric.colour, 0.8), 0.04)


# --- bags -------------------------------------------------------------------------------------------------------------


def draw_tote(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a bag with two handles."""
    leather = tinted(pen.fabric.colour, 0.66)
    pen.line(bezier([(-0.2, 0.5), (-0.2, -0.16), (0.2, -0.16), (0.2, 0.5)]), tinted(leather, 0.8), 0.045)
    side = [(0, 0.38), (0.4, 0.38), (0.47, 1.06), (0.44, 1.12), (0, 1.13)]
    if cut.detail == "soft":
        side = [(0, 0.44), (0.34, 0.4), (0.44, 0.6), (0.54, 1.0), (0.44, 1.1), (0, 1.12)]
    pen.cloth(closed(side))
    pen.line(bezier([(-0.22, 0.54), (-0.22, -0.12), (0.22, -0.12), (0.22, 0.54)]), leather, 0.05)
    pen.line([(-0.39, 0.44), (0.39, 0.44)])
    for x in (-0.22, 0.22):
        pen.solid([(x - 0.05, 0.46), (x + 0.05, 0.46), (x + 0.05, 0.6), (x, 0.65), (x - 0.05, 0.6)], leather)
        pen.dot((x, 0.53), 0.022, GOLD)
    if cut.detail != "soft":
        pen.dot((0, 0.5), 0.035, GOLD)
        pen.line([(-0.46, 1.04), (0.46, 1.04)])


def draw_shoulder_bag(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a bag with a flap and a clasp."""
    pen.line(bezier([(-0.42, 0.6), (-0.46, -0.2), (0.46, -0.2), (0.42, 0.6)]), tinted(pen.fabric.colour, 0.62), 0.04)
    pen.cloth(closed([(0, 0.5), (0.42, 0.5), (0.5, 0.62), (0.5, 1.0), (0.44, 1.1), (0, 1.12)]), 0.94)
    pen.cloth(closed([(0, 0.46), (0.42, 0.46), (0.48, 0.56), (0.46, 0.74), (0.3, 0.86), (0, 0.9)]), 1.04)
    pen.line([(-0.43, 0.7), (-0.28, 0.82), (0, 0.86), (0.28, 0.82), (0.43, 0.7)])
    pen.solid([(-0.06, 0.8), (0.06, 0.8), (0.06, 0.94), (-0.06, 0.94)], GOLD)
    for x in (-0.43, 0.43):
        pen.dot((x, 0.56), 0.035, GOLD)


def draw_messenger(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a wide bag with a big flap, its strap slung over it."""
    strap = tinted(pen.fabric.colour, 0.7)
    pen.line(bezier([(-0.48, 0.5), (-0.4, -0.16), (0.4, -0.16), (0.48, 0.5)]), strap, 0.07)
    pen.cloth(closed([(0, 0.42), (0.5, 0.42), (0.52, 1.04), (0.46, 1.08), (0, 1.08)]), 0.9)
    pen.cloth(closed([(0, 0.4), (0.51, 0.4), (0.52, 0.84), (0.46, 0.9), (0, 0.9)]), 1.03)
    for x in (-0.24, 0.24):
        pen.solid([(x - 0.04, 0.52), (x + 0.04, 0.52), (x + 0.04, 1.0), (x - 0.04, 1.0)], strap)
        pen.solid([(x - 0.055, 0.86), (x + 0.055, 0.86), (x + 0.055, 0.95), (x - 0.055, 0.95)], STEEL)


def draw_backpack(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a backpack from its front."""
    dark = tinted(pen.fabric.colour, 0.6)
    pen.line(bezier([(-0.12, 0.2), (-0.12, -0.06), (0.12, -0.06), (0.12, 0.2)]), dark, 0.055)
    for side in (1, -1):
        pen.line(bezier([(0.2 * side, 0.24), (0.62 * side, 0.3), (0.6 * side, 0.9), (0.42 * side, 1.16)]), dark, 0.075)
    pen.cloth(closed([(0, 0.1), (0.24, 0.12), (0.4, 0.3), (0.45, 0.7), (0.45, 1.16), (0.36, 1.24), (0, 1.25)]))
    pen.line(bezier([(-0.42, 0.66), (-0.34, 0.14), (0.34, 0.14), (0.42, 0.66)]), dark, 0.03)
    pen.line(bezier([(-0.42, 0.66), (-0.34, 0.14), (0.34, 0.14), (0.42, 0.66)]), STEEL, 0.012)
    pen.cloth(closed([(0, 0.72), (0.3, 0.72), (0.35, 0.8), (0.35, 1.12), (0.28, 1.18), (0, 1.19)]), 0.94)
    pen.line([(-0.31, 0.82), (0.31, 0.82)], dark, 0.03)
    pen.line([(-0.31, 0.82), (0.31, 0.82)], STEEL, 0.012)
    pen.line([(0.27, 0.82), (0.27, 0.92)], STEEL, 0.025)
    pen.solid([(-0.08, 0.45), (0.08, 0.45), (0.08, 0.56), (-0.08, 0.56)], dark)


def draw_clutch(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a flat bag held in the hand."""
    pen.cloth(closed([(0, 0.0), (0.5, 0.0), (0.52, 0.55), (0.48, 0.6), (0, 0.6)]), 0.95)
    pen.cloth([(-0.51, -0.01), (0.51, -0.01), (0.46, 0.12), (0.06, 0.38), (-0.06, 0.38), (-0.46, 0.12)], 1.05)
    pen.dot((0, 0.32), 0.045, GOLD)
    pen.line(bezier([(-0.5, 0.06), (-0.66, 0.2), (-0.68, 0.5), (-0.56, 0.62)]), tinted(pen.fabric.colour, 0.7), 0.03)


def draw_wallet(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a folded wallet."""
    pen.cloth([(-0.5, 0.02), (0.46, 0.0), (0.5, 0.04), (0.5, 0.66), (0.46, 0.7), (-0.5, 0.7), (-0.53, 0.36)], 0.9)
    pen.cloth([(-0.5, 0.0), (0.44, 0.03), (0.48, 0.08), (0.48, 0.6), (0.44, 0.66), (-0.5, 0.67)], 1.05)
    stitch = tinted(pen.fabric.colour, 1.35)
    pen.line([(-0.46, 0.05), (0.4, 0.08), (0.44, 0.12), (0.44, 0.58), (0.4, 0.62), (-0.46, 0.62)], stitch, 0.01)
    pen.cloth([(0.3, 0.26), (0.52, 0.26), (0.52, 0.42), (0.3, 0.42)], 0.85)
    pen.dot((0.36, 0.34), 0.03, GOLD)


# --- on the head ------------------------------------------------------------------------------------------------------


def draw_cap(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a baseball cap, its visor towards the right."""
    visor = [(-0.02, 0.3), (0.3, 0.26), (0.52, 0.36), (0.66, 0.5), (0.5, 0.5), (0.3, 0.42), (0.06, 0.41)]
    pen.cloth(
        [
            (-0.39, 0.38),
            (-0.4, 0.16),
            (-0.3, -0.06),
            (-0.06, -0.16),
            (0.18, -0.12),
            (0.34, 0.06),
            (0.38, 0.34),
            (0.0, 0.42),
        ]
    )
    for end in ((-0.18, 0.4), (0.16, 0.4)):
        pen.line(bezier([(-0.04, -0.16), (end[0] * 0.9, -0.06), (end[0] * 1.1, 0.16), end]), None, 0.014)
    pen.dot((-0.04, -0.16), 0.03, tinted(pen.fabric.colour, 0.8))
    pen.cloth(visor, 0.88)
    pen.line(bezier([(0.06, 0.37), (0.3, 0.36), (0.44, 0.4), (0.56, 0.47)]), tinted(pen.fabric.colour, 0.6), 0.012)
    pen.solid(oval((0.16, 0.12), 0.08, 0.08), pen.fabric.second)


def draw_sun_hat(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a hat with a brim: wide, or a fedora's."""
    reach, crown = (0.62, -0.2) if cut.detail == "fedora" else (0.82, -0.18)
    pen.cloth(oval((0, 0.27), reach, 0.17), 0.94)
    pen.cloth(
        closed(
            [
                (0, crown + (0.05 if cut.detail == "fedora" else 0)),
                (0.16, crown),
                (0.3, crown + 0.12),
                (0.37, 0.24),
                (0.2, 0.32),
                (0, 0.34),
            ]
        )
    )
    pen.solid(closed([(0, 0.2), (0.2, 0.17), (0.35, 0.1), (0.37, 0.24), (0.2, 0.32), (0, 0.34)]), pen.fabric.second)
    if cut.detail == "fedora":
        pen.line(bezier([(-0.1, crown + 0.03), (-0.04, 0.0), (0.04, 0.0), (0.1, crown + 0.03)]))


def draw_beanie(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a knitted cap with a turned-up edge."""
    if cut.detail == "pompom":
        pen.solid(oval((0, -0.26), 0.13, 0.12), tinted(pen.fabric.second, 0.95))
    pen.cloth(closed([(0, -0.2), (0.16, -0.17), (0.32, -0.02), (0.39, 0.3), (0, 0.32)]))
    for x in np.linspace(-0.8, 0.8, 9):
        pen.line(
            bezier([(0.1 * float(x), -0.18), (0.32 * float(x), -0.12), (0.39 * float(x), 0.1), (0.4 * float(x), 0.24)]),
            tinted(pen.fabric.colour, 0.84),
            0.016,
        )
    pen.cloth(closed([(0, 0.15), (0.38, 0.12), (0.42, 0.22), (0.4, 0.38), (0, 0.42)]), 0.94)
    for x in np.linspace(-0.38, 0.38, 15):
        pen.line([(float(x), 0.16), (float(x) * 1.02, 0.38)], tinted(pen.fabric.colour, 0.8), 0.014)


def _spectacles(pen: Pen, cut: Cut, body: Body, lens: Rgb) -> None:
    frame = pen.fabric.colour
    for side in (1, -1):
        if body.laid:
            pen.line(flipped([(0.34, 0.45), (0.4, 0.4), (0.37, 0.28), (0.33, 0.25)], side), frame, 0.03)
        if cut.detail == "round":
            rim: list[Point] = oval((0.18, 0.5), 0.145, 0.135)
        elif cut.detail == "aviator":
            rim = [(0.05, 0.42), (0.18, 0.395), (0.32, 0.42), (0.33, 0.52), (0.26, 0.62), (0.14, 0.62), (0.06, 0.54)]
        else:
            rim = [(0.04, 0.41), (0.2, 0.395), (0.34, 0.4), (0.345, 0.48), (0.3, 0.585), (0.1, 0.59), (0.05, 0.53)]
        rim = flipped(rim, side)
        pen.solid(rim, frame)
        cx, cy, thin = 0.19 * side, 0.5, 0.88 if cut.detail == "aviator" else 0.8
        pen.solid([(cx + (x - cx) * thin, cy + (y - cy) * thin) for x, y in rim], lens, False)
        pen.line([(cx - 0.07, cy + 0.02), (cx - 0.02, cy - 0.05)], tinted(lens, 1.4), 0.014)
        pen.dot((0.33 * side, 0.43), 0.008, GOLD)
    pen.line(bezier([(-0.06, 0.46), (-0.03, 0.42), (0.03, 0.42), (0.06, 0.46)]), frame, 0.028)


def draw_sunglasses(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw glasses with dark lenses."""
    _spectacles(pen, cut, body, LENS)


def draw_eyeglasses(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw glasses with clear lenses."""
    _spectacles(pen, cut, body, (226, 234, 240))


# --- belts and scarves ------------------------------------------------------------------------------------------------


def draw_belt(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a belt: rolled up, its buckle in front; as a band around the waist when worn."""
    if not body.laid:
        pen.cloth(closed([(0, 2.98), (0.51, 2.95), (0.52, 3.11), (0, 3.14)]))
        pen.solid([(-0.1, 2.96), (0.1, 2.96), (0.1, 3.15), (-0.1, 3.15)], GOLD if cut.detail == "gold" else STEEL)
        pen.solid([(-0.06, 3.0), (0.06, 3.0), (0.06, 3.11), (-0.06, 3.11)], pen.fabric.colour, False)
        return
    metal = GOLD if cut.detail == "gold" else STEEL
    back, front = oval((0, 0), 0.78, 0.3, 180, 360), oval((0, 0.0), 0.8, 0.34, 0, 180)
    high = 0.2
    pen.solid([*back, *[(x * 0.97, y + high) for x, y in reversed(back)]], tinted(pen.fabric.colour, 0.55))
    pen.cloth([*front, *[(x, y + high) for x, y in reversed(front)]])
    for edge in (0.03, high - 0.03):
        pen.line([(x, y + edge) for x, y in front], tinted(pen.fabric.colour, 0.8), 0.01)
    pen.cloth([(0.05, 0.33), (0.42, 0.29), (0.48, 0.38), (0.44, 0.48), (0.05, 0.55)], 1.05)
    pen.solid([(-0.13, 0.3), (0.1, 0.3), (0.1, 0.58), (-0.13, 0.58)], metal)
    pen.cloth([(-0.085, 0.35), (0.06, 0.35), (0.06, 0.53), (-0.085, 0.53)], 0.9)
    pen.line([(-0.1, 0.44), (0.12, 0.44)], metal, 0.03)
    for x in (0.2, 0.28, 0.36):
        pen.dot((x, 0.435 - 0.1 * (x - 0.2)), 0.014, tinted(pen.fabric.colour, 0.4))


def draw_scarf(pen: Pen, cut: Cut, body: Body) -> None:
    """Draw a scarf: a loop around the neck and two hanging ends."""
    for x, slant, end in ((-0.3, -0.1, 3.1), (0.04, 0.1, 2.85)):
        pen.cloth([(x, 1.6), (x + 0.28, 1.6), (x + 0.34 + slant, end), (x - 0.04 + slant, end)], 0.94, slant * -40)
        for share in (0.3, 0.66):
            pen.line([(x + 0.28 * share, 1.75), (x + slant + 0.34 * share, end - 0.2)], tinted(pen.fabric.colour, 0.82))
        for i in range(9):
            fringe = x + slant - 0.02 + 0.043 * i
            pen.line([(fringe, end), (fringe + 0.005, end + 0.15)], pen.fabric.colour, 0.022)
    if body.laid:
        pen.solid(closed([(0, 1.02), (0.24, 1.06), (0.3, 1.24), (0, 1.4)]), tinted(pen.fabric.colour, 0.5))
    loop = [(0.0, 1.3), (0.2, 1.22), (0.28, 1.06), (0.4, 1.16), (0.44, 1.4), (0.3, 1.66), (0.1, 1.8), (0, 1.82)]
    pen.cloth(closed(loop))
    for dip in (0.1, 0.24, 0.36):
        pen.line(
            bezier([(-0.38, 1.2 + dip / 2), (-0.2, 1.36 + dip), (0.2, 1.4 + dip), (0.38, 1.16 + dip / 2)]),
            tinted(pen.fabric.colour, 0.78),
        )
