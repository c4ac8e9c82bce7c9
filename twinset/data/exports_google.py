"""Rows of a Google Merchant Center feed: TSV, CSV, or XML as RSS 2.0 or Atom (the product data specification)."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from twinset.data.exports import Export, Rows, on_sale, table_rows, tag_columns
from twinset.data.feed import Row, read_text, with_point
from twinset.errors import FeedError

TAGS = ("brand", "color", "size", "gender", "age_group", "material", "pattern", "condition")
# google_product_category by number, of those that say what a product is (taxonomy-with-ids.en-US.txt).
CATEGORIES = {
    "212": "Tops", "203": "Outerwear", "5598": "Coats", "2271": "Dresses", "5250": "Jumpsuits", "204": "Trousers",
    "207": "Shorts", "1581": "Skirts", "187": "Shoes", "3032": "Handbags", "173": "Hats", "178": "Sunglasses",
    "169": "Belts", "177": "Scarves", "201": "Watches", "209": "Socks",
}  # fmt: skip
_SOLD_OUT = {"out of stock"}
_PRICE = re.compile(r"([A-Z]{3})?\s*([\d.,]+)\s*([A-Z]{3})?")


def google_rows(export: Export) -> Rows:
    """Yield (line, our columns); in XML a line is the number of the item."""
    if read_text(export.path).lstrip()[:1] == "<":
        for number, values in enumerate(_xml_items(export), 1):
            yield number, _row({name: found[0] for name, found in values.items()}, values)
        return
    for line, cells in table_rows(export.path, ("id",), "Google Merchant Center"):
        if isinstance(cells, dict):
            named = {name.removeprefix("g:").replace(" ", "_"): value for name, value in cells.items()}
            more = named.get("additional_image_link", "").split(",")
            yield line, _row(named, {"additional_image_link": more})
        else:
            yield line, cells


def _row(one: dict[str, str], all_of: dict[str, list[str]]) -> Row:
    sale = one.get("sale_price", "")
    start, _, end = one.get("sale_price_effective_date", "").partition("/")
    price, currency = _price(one.get("price", ""))
    kind = one.get("google_product_category", "")
    images = [one.get("image_link", ""), *(image.strip() for image in all_of.get("additional_image_link", []))]
    return {
        "product_id": one.get("id", ""),
        "images": [image for image in images if image],
        "title": one.get("title", ""),
        "price": price,
        "sale_price": _price(sale)[0] if on_sale(start, end) else "",
        "currency": currency,
        "category": one.get("product_type", ""),
        "product_type": CATEGORIES.get(kind, "" if kind.isdigit() else kind),
        "article_type": one.get("product_type", "").rpartition(">")[2].strip(),
        "url": one.get("link", ""),
        "in_stock": "false" if one.get("availability", "").lower().replace("_", " ") in _SOLD_OUT else "true",
        "group_id": one.get("item_group_id", ""),
        **tag_columns((name, one.get(name, "")) for name in TAGS),
    }


def _price(text: str) -> tuple[str, str]:
    """Return the number and the currency of "15.00 USD"; what is neither stays as it is, to be told of."""
    match = _PRICE.fullmatch(text.strip())
    if not match:
        return text, ""
    return with_point(match[2]).replace(",", ""), match[1] or match[3] or ""


def _xml_items(export: Export) -> Iterator[dict[str, list[str]]]:
    """Yield each item's elements, by their names without namespace."""
    try:
        root = ElementTree.fromstring(export.path.read_bytes())
    except (ElementTree.ParseError, LookupError, ValueError) as exc:  # the latter two of its encoding
        raise FeedError(
            f"{export.path}: expected XML, found something that breaks off or can't be read ({exc}); export it anew"
        ) from exc
    for item in root.iter():
        if _name(item) in ("item", "entry"):
            values: dict[str, list[str]] = {}
            for child in item:
                text = (child.text or child.get("href") or "").strip()
                values.setdefault(_name(child), []).append(text)
            yield values


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()
