"""Write search results as one HTML file to look at: photos with their items marked, and the hits beside each."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from twinset.errors import DataError
from twinset.fetch import fetch_url
from twinset.images import Photo, decode_image, encode_jpeg, read_image
from twinset.types import Box, FoundItem, Hit, Image, Product

PHOTO_SIDE = 900  # pixels of the longer side, as inlined
HIT_SIDE = 220
JPEG_QUALITY = 80

_STYLE = """
:root { color-scheme: light; --ink: #1c1c1e; --dim: #6e6e73; --line: #e3e3e6; --mark: #d6336c; }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: #f6f6f7; }
h1 { font-size: 20px; margin: 0 0 16px; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 8px; display: flex; gap: 8px; align-items: center; flex-wrap: wrap; }
article { display: grid; grid-template-columns: minmax(220px, 400px) 1fr; gap: 24px; margin-bottom: 24px; padding: 20px;
  background: #fff; border: 1px solid var(--line); border-radius: 12px; }
article > h1 { grid-column: 1 / -1; margin: 0; }
figure { margin: 0; position: relative; align-self: start; }
figure img, figure svg { display: block; width: 100%; height: auto; border-radius: 8px; }
figure svg { position: absolute; inset: 0; height: 100%; }
rect { fill: none; stroke: var(--mark); stroke-width: 2px; vector-effect: non-scaling-stroke; }
.number { display: inline-grid; place-items: center; width: 24px; height: 24px; border-radius: 50%;
  font-size: 13px; font-weight: 600; color: #fff; background: var(--mark); }
figure .number { position: absolute; transform: translate(-2px, -2px); }
section + section { margin-top: 20px; padding-top: 16px; border-top: 1px solid var(--line); }
.dim { color: var(--dim); font-weight: 400; font-size: 13px; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(128px, 1fr)); }
li { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; font-size: 13px; }
li img, li .none { display: grid; place-items: center; width: 100%; height: 150px; object-fit: contain;
  background: #fff; color: var(--dim); }
li div.text { padding: 8px; overflow-wrap: anywhere; }
li.query { border: 2px solid var(--ink); } li.wanted { border: 2px solid #2b8a3e; } li.gone { opacity: 0.45; }
table { border-collapse: collapse; margin-bottom: 24px; background: #fff; }
td, th { border: 1px solid var(--line); padding: 4px 12px; text-align: right; }
td:first-child, th:first-child { text-align: left; }
article.strip { display: block; }
@media (max-width: 720px) { article { grid-template-columns: 1fr; } body { padding: 12px; } }
"""


def write_search_page(path: Path, photos: Sequence[tuple[str, Photo, list[FoundItem]]]) -> None:
    """Write a page, complete in itself, of named photos and what `search_image` found. Raises DataError.

    A product image that can't be read leaves a blank on its card.
    """
    thumbnails: dict[str, str | None] = {}
    write_page(
        path, "Twinset search", "\n".join(_article(name, photo, items, thumbnails) for name, photo, items in photos)
    )


def write_page(path: Path, title: str, body: str) -> None:
    """Write a page of this look. Raises DataError."""
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""
    try:
        path.write_text(page, encoding="utf-8", errors="replace")
    except OSError as exc:
        raise DataError(f"{path}: expected a file that can be written, found: {exc.strerror}; check the path") from exc


def _article(name: str, photo: Photo, items: Sequence[FoundItem], thumbnails: dict[str, str | None]) -> str:
    width, height = photo.width, photo.height
    marks = "".join(_rect(item.box) for item in items)
    numbers = "".join(_number_at(i, item.box, width, height) for i, item in enumerate(items, start=1))
    sections = "".join(_item(i, item, thumbnails) for i, item in enumerate(items, start=1))
    return f"""<article>
<h1>{escape(name)}</h1>
<figure>
<img src="{data_uri(photo.pixels, PHOTO_SIDE)}" alt="{escape(name)}">
<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{marks}</svg>
{numbers}
</figure>
<div>{sections or '<p class="dim">No item found.</p>'}</div>
</article>"""


def _rect(box: Box) -> str:
    x1, y1, x2, y2 = box
    return f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"/>'


def _number_at(number: int, box: Box, width: int, height: int) -> str:
    left, top = 100 * box[0] / width, 100 * box[1] / height
    return f'<span class="number" style="left:{left:.2f}%;top:{top:.2f}%">{number}</span>'


def _item(number: int, item: FoundItem, thumbnails: dict[str, str | None]) -> str:
    score = "" if item.score is None else f"{item.score:.2f}"
    colours = ", ".join(f"{colour.name} {colour.share:.0%}" for colour in item.colours)
    about = " · ".join(part for part in (score, colours) if part)
    hits = "\n".join(_hit(hit, thumbnails) for hit in item.hits)
    return f"""<section>
<h2><span class="number">{number}</span>{escape(item.category or "any category")}
<span class="dim">{escape(about)}</span></h2>
{f"<ol>{hits}</ol>" if hits else '<p class="dim">No product found.</p>'}
</section>"""


def _hit(hit: Hit, thumbnails: dict[str, str | None]) -> str:
    return card(hit.product, f"{hit.score:.3f}", hit.image, thumbnails)


def card(product: Product, note: str, image: str, thumbnails: dict[str, str | None], mark: str = "") -> str:
    """Return a product's card: its picture, kept in `thumbnails`, its title, price, a note, its id.

    `mark` is a class of the card's look: "wanted", "gone" or "query".
    """
    if image not in thumbnails:
        thumbnails[image] = _thumbnail(image)
    uri = thumbnails[image]
    picture = f'<img src="{uri}" alt="">' if uri else '<span class="none">no picture</span>'
    price = "" if product.price is None else f"{product.price:,.2f} {product.currency or ''}".strip()
    facts = " · ".join(part for part in (price, note, product.product_id) if part)
    marked = f' class="{mark}"' if mark else ""
    return f"""<li{marked}>{picture}<div class="text">{escape(product.title or product.product_id)}<br>
<span class="dim">{escape(facts)}</span></div></li>"""


def _thumbnail(image: str) -> str | None:
    """Return a product's image as a data URI, None for one that can't be had."""
    try:
        if image.lower().startswith(("http://", "https://")):
            pixels = decode_image(fetch_url(image).data or b"", image)
        else:
            pixels = read_image(Path(image))
    except DataError:
        return None
    return data_uri(pixels, HIT_SIDE)


def data_uri(image: Image, longer_side: int) -> str:
    """Return an image as a JPEG data URI of at most this size."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(image)
    picture.thumbnail((longer_side, longer_side), reducing_gap=2.0)
    data = encode_jpeg(np.asarray(picture), JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
