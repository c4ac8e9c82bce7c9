"""Read a shop's product feed, CSV or JSON Lines, into products.

A bad row is reported with its line and skipped; what a column means is told in `FIELDS`, and any other becomes a tag.
Whether the images exist is not asked here: that may mean fetching them.
"""

import csv
import io
import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinset.errors import FeedError, UsageError
from twinset.taxonomy import Taxonomy
from twinset.types import Product

TYPE_FIELDS = ("category", "article_type", "product_type")  # the first that the taxonomy knows names the category
IMAGE_FIELDS = frozenset({"image", "images"})
FIELDS = frozenset(
    {"product_id", *IMAGE_FIELDS, "title", "price", "sale_price", "currency", *TYPE_FIELDS}
    | {"url", "shop", "in_stock", "group_id", "updated_at"}
)
NO_UTF8 = "expected UTF-8, found other bytes; save the feed as UTF-8"
_TRUE = frozenset({"true", "1", "yes", "y", "t", "in stock", "in_stock"})
_FALSE = frozenset({"false", "0", "no", "n", "f", "out of stock", "out_of_stock"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # as Excel notes it in a line of its own
_DECIMAL_COMMA = re.compile(r"(\d+|\d{1,3}(\.\d{3})+),\d{1,2}")  # three digits after a comma may be thousands
_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:")


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that was skipped, and why."""

    line: int  # the row's first line in the file, from 1
    product_id: str  # "" where the row names none
    reason: str


@dataclass(frozen=True, slots=True)
class Feed:
    """The products of a feed in its order, and what could not be read."""

    path: Path
    products: list[Product]
    lines: list[int]  # of each product's row, from 1
    failed: list[FailedRow]
    unknown_types: Counter[str] = field(default_factory=Counter)  # words the taxonomy doesn't know -> products


class BadRow(Exception):
    """Why a row is skipped."""

    def __init__(self, reason: str, product_id: str = "") -> None:
        super().__init__(reason)
        self.product_id = product_id


Row = dict[str, Any]  # column -> value: always str in CSV, any JSON value in JSON Lines


def read_feed(path: Path, taxonomy: Taxonomy, rename: Mapping[str, str] | None = None, strict: bool = False) -> Feed:
    """Return the products of a CSV or JSON Lines feed; `rename` maps its columns to fields.

    With `strict` the first bad row or unknown type raises FeedError. Raises FeedError too for a file that can't be
    read or has no `product_id` and `image` columns, UsageError for a `rename` of a column the feed doesn't have.
    """
    rename = dict(rename or {})
    _check_rename(rename)
    text = read_text(path)
    as_json = _is_json_lines(path, text)
    rows = _json_rows(text) if as_json else csv_rows(text, path, rename)
    columns: set[str] = set()
    feed = feed_of(_noting(rows, columns), path, taxonomy, rename, strict)
    if as_json and columns:
        _check_columns(rename, columns, path)
    return feed


def feed_of(
    rows: "Iterable[tuple[int, Row | BadRow]]",
    path: Path,
    taxonomy: Taxonomy,
    rename: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Feed:
    """Return the products of rows (line, columns); `path` opens messages, and relative images start at its folder."""
    base = os.path.abspath(path.parent)
    feed = Feed(path, [], [], [])
    lines_by_key: dict[tuple[str, str], int] = {}
    for line, row in rows:
        try:
            if isinstance(row, BadRow):
                raise row
            product, unknown = _product(_renamed(row, rename or {}), base, taxonomy)
            key = product.shop, product.product_id
            if key in lines_by_key:
                raise BadRow(f"duplicate product_id, first on line {lines_by_key[key]}", product.product_id)
            if unknown and strict:
                raise BadRow(f"unknown type {unknown!r}; name it in the taxonomy or --map its column", key[1])
        except BadRow as bad:
            if strict:
                named = f" product {bad.product_id}:" if bad.product_id else ""
                raise FeedError(f"{path}:{line}:{named} {bad}") from bad
            feed.failed.append(FailedRow(line, bad.product_id, str(bad)))
            continue
        lines_by_key[key] = line
        feed.products.append(product)
        feed.lines.append(line)
        if unknown:
            feed.unknown_types[unknown] += 1
    return feed


def _noting(rows: "Iterator[tuple[int, Row | BadRow]]", columns: set[str]) -> "Iterator[tuple[int, Row | BadRow]]":
    """Yield the rows, their columns' names put into a set."""
    for line, row in rows:
        if not isinstance(row, BadRow):
            columns.update(row)
        yield line, row


def _check_rename(rename: Mapping[str, str]) -> None:
    twice = [name for name, n in Counter(rename.values()).items() if n > 1]
    if twice:
        raise UsageError(f"map: expected one column for {twice[0]!r}, found several; map one", field="map")


def _check_columns(rename: Mapping[str, str], columns: set[str], path: Path) -> None:
    for column in rename:
        if column not in columns:
            found = ", ".join(sorted(columns))
            raise UsageError(
                f"map: expected a column of {path}, found {column!r}; it has {found}", field="map", found=column
            )


def _renamed(row: Row, rename: Mapping[str, str]) -> Row:
    """Return the row under field names; a mapped column takes the place of one that had the name already."""
    if not rename:
        return row
    taken = set(rename.values())
    kept = {column: value for column, value in row.items() if column not in taken and column not in rename}
    return kept | {rename[column]: value for column, value in row.items() if column in rename}


# --- rows -------------------------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """Return the feed as text, as `text_of` does."""
    try:
        return text_of(path.read_bytes(), path)
    except OSError as exc:
        raise FeedError(f"{path}: expected a product feed, found: {exc.strerror}; check the path") from exc


def text_of(data: bytes, path: Path) -> str:
    """Return a feed's bytes as text; those that are not UTF-8 become lone surrogates, which fail their row alone."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:1000]:
        raise FeedError(f"{path}: expected UTF-8 text, found UTF-16 or binary data; save the feed as UTF-8 CSV")
    return data.decode("utf-8-sig", errors="surrogateescape")


def _is_json_lines(path: Path, text: str) -> bool:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return False
    start = text.lstrip()[:1]
    if start == "[":
        raise FeedError(f"{path}: expected CSV or JSON Lines, found a JSON list; write one object a line")
    return suffix in (".jsonl", ".ndjson", ".json") or start == "{"


def _json_rows(text: str) -> Iterator[tuple[int, Row | BadRow]]:
    for line, content in enumerate(io.StringIO(text), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as exc:
            yield line, BadRow(f"expected a JSON object, found broken JSON ({exc})")
            continue
        if not isinstance(row, dict):
            yield line, BadRow(f"expected a JSON object, found a {type(row).__name__}")
        elif not (content.isascii() and "\\u" not in content) and not is_utf8(json.dumps(row, ensure_ascii=False)):
            product_id = str(row.get("product_id") or "")
            yield line, BadRow(NO_UTF8, product_id if is_utf8(product_id) else "")
        else:
            yield line, row


def csv_rows(
    text: str, path: Path, rename: Mapping[str, str], needed: frozenset[str] = IMAGE_FIELDS
) -> Iterator[tuple[int, Row | BadRow]]:
    """Yield (first line, cells by column) of a CSV feed's rows, beside `product_id` with one of the `needed` columns.

    Raises FeedError for a header that can't be read or says too little; `path` opens messages.
    """
    lines = list(io.StringIO(text, newline=""))  # splits where csv does, not at every Unicode line break
    rows = csv_cells(lines, delimiter_of(lines, ",;\t"))
    columns = read_header(rows, path)
    _check_columns(rename, set(columns), path)
    fields = {rename.get(column, column) for column in columns}
    if "product_id" not in fields or not fields & needed:
        found = ", ".join(columns) or "an empty file"
        raise FeedError(
            f"{path}: expected columns product_id and image (or images), found {found}; rename with --map column=field"
        )
    twice = [name for name, n in Counter(columns).items() if n > 1 and name]
    if twice:
        raise FeedError(f"{path}: expected every column once, found {twice[0]!r} twice; rename one in the feed")
    for line, cells in rows:
        if isinstance(cells, BadRow):
            yield line, cells
        elif len(cells) != len(columns):
            product_id = _product_id(cells, columns, rename)
            yield line, BadRow(f"expected {len(columns)} columns, found {len(cells)}", product_id)
        elif not all(cell.isascii() or is_utf8(cell) for cell in cells):
            yield line, BadRow(NO_UTF8, _product_id(cells, columns, rename))
        else:
            yield line, {name: cell for name, cell in zip(columns, cells, strict=True) if name}


def delimiter_of(lines: list[str], known: str) -> str:
    """Return which of the `known` delimiters a CSV's header has most; a line `sep=;` before it is taken out."""
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    named = _SEPARATOR.fullmatch(lines[first]) if lines else None
    if named:
        lines[first] = "\n"
        return named[1]
    header = lines[first] if lines else ""
    return max(known, key=header.count)


def csv_cells(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Yield (first line, cells) of every row. A quote that never closes fails its own line, not all that follow."""
    start, width = 0, 0
    while start < len(lines):
        reader = csv.reader(itertools.islice(lines, start, None), delimiter=delimiter, strict=True)
        done = 0
        while True:
            first = start + done
            try:
                cells = next(reader, None)
            except csv.Error as exc:
                yield first + 1, BadRow(_unread(exc))
                break
            if cells is None:
                return
            done = reader.line_num
            spans = start + done - first > 1
            if spans and width and len(cells) != width:
                yield first + 1, BadRow(f"expected {width} columns, found {len(cells)}; a quote may not close")
                break
            width = width or len(cells)
            if any(cell.strip() for cell in cells):
                yield first + 1, cells
        start = first + 1


def read_header(rows: "Iterator[tuple[int, list[str] | BadRow]]", path: Path) -> list[str]:
    """Return the names of a table's columns, its first row, [] if it has none. Raises FeedError for other data."""
    line, header = next(rows, (1, []))
    if isinstance(header, BadRow) or not all(is_utf8(name) for name in header):
        raise FeedError(f"{path}:{line}: expected a header of column names in UTF-8, found other data; check the feed")
    return [name.strip() for name in header]


def _unread(exc: csv.Error) -> str:
    """Return why csv read no row: of what is strict and of what is too long it only tells by the message."""
    if "field limit" in str(exc):
        longest = csv.field_size_limit()
        return f"expected cells of at most {longest:,} characters, found a longer one, or a quote that doesn't close"
    return f"expected a row of CSV, found a quote that doesn't close where its cell ends ({exc})"


def _product_id(cells: list[str], columns: list[str], rename: Mapping[str, str]) -> str:
    """Return the product id of a row with too few or too many cells, as well as it can be told."""
    at = [rename.get(column, column) for column in columns].index("product_id")
    return cells[at].strip() if at < len(cells) and is_utf8(cells[at]) else ""


def is_utf8(text: str) -> bool:
    """Return whether a text has no lone surrogates, which bytes that are not UTF-8 became in `text_of`."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


# --- one row ----------------------------------------------------------------------------------------------------------


def _product(row: Row, base: str, taxonomy: Taxonomy) -> tuple[Product, str]:
    """Return a row's product, and the type word the taxonomy doesn't know ("" if it knows it or none is given)."""
    product_id = _text(row, "product_id")
    if not product_id:
        raise BadRow("expected a product_id, found none")
    if _CONTROL.search(product_id):
        raise BadRow(f"expected a product_id without line breaks and other control characters, found {product_id!r}")
    try:
        article_type = _text(row, "article_type") or _text(row, "product_type") or _text(row, "category")
        category, given, unknown = _category(row, taxonomy)
        product = Product(
            product_id=product_id,
            images=_images(row, base),
            shop=_text(row, "shop") or "default",
            title=_text(row, "title"),
            price=_price(row, "price"),
            sale_price=_price(row, "sale_price"),
            currency=_text(row, "currency") or None,
            category=category,
            article_type=article_type or None,
            category_given=given,
            url=_text(row, "url") or None,
            in_stock=_in_stock(row.get("in_stock")),
            group_id=_text(row, "group_id") or None,
            updated_at=_text(row, "updated_at") or None,
            tags=_tags(row),
        )
    except BadRow as bad:
        raise BadRow(str(bad), product_id) from bad
    return product, unknown


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        raise BadRow(f"{name}: expected text, found {json.dumps(value)}")
    return str(value)


def _category(row: Row, taxonomy: Taxonomy) -> tuple[str | None, bool, str]:
    """Return (category, whether the feed names a type we know, the first word we don't)."""
    unknown = ""
    for name in TYPE_FIELDS:
        word = _text(row, name)
        parts = reversed(re.split(r"[>/]", word))  # "Women > Dresses": the last part says most
        for part in (word, *parts) if word else ():
            try:
                return taxonomy.category_of(part), True, ""
            except KeyError:
                continue
        unknown = unknown or word
    return None, False, unknown


def _images(row: Row, base: str) -> tuple[str, ...]:
    found = listed_images(row, "image") + listed_images(row, "images")
    if not found:
        raise BadRow("expected an image, found none")
    return tuple(dict.fromkeys(_location(entry, base) for entry in found))


def listed_images(row: Row, name: str) -> list[str]:
    """Return the images of a column, `images` as a list or as a text. Raises BadRow."""
    value = row.get(name)
    if name == "images" and isinstance(value, str):
        value = value.strip()
        if value.startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as exc:
                raise BadRow(f"images: expected a JSON list or paths separated by |, found {value!r}") from exc
        else:
            value = value.split("|")
    entries = value if isinstance(value, list) else [value]
    if not all(entry is None or isinstance(entry, str) for entry in entries):
        raise BadRow(f"{name}: expected paths or URLs, found {json.dumps(value)}")
    return [entry.strip() for entry in entries if entry and entry.strip()]


def _location(image: str, base: str) -> str:
    if image.lower().startswith(("http://", "https://")):
        return image
    if _URL_SCHEME.match(image) or "\0" in image:
        raise BadRow(f"image: expected a path or an http(s) URL, found {image[:80]!r}")
    return os.path.normpath(os.path.join(base, image))


def _price(row: Row, name: str) -> float | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "null")):
        return None
    if isinstance(value, str):
        value = with_point(value.strip())
    try:
        price = math.nan if isinstance(value, bool | list | dict) or "_" in str(value) else float(value)
    except (ValueError, OverflowError):
        price = math.nan
    if not math.isfinite(price) or price < 0:
        raise BadRow(f"{name}: expected a number like 12.50 or nothing, found {value!r}")
    return price


def with_point(number: str) -> str:
    """Return a number that has a decimal comma, 12,50 or 1.299,00, with a decimal point, and any other as it is."""
    return number.replace(".", "").replace(",", ".") if _DECIMAL_COMMA.fullmatch(number) else number


def _in_stock(value: Any) -> bool:
    word = "" if value is None else str(value).strip().lower()
    if word in _FALSE:
        return False
    if word in _TRUE or not word:
        return True
    raise BadRow(f"in_stock: expected true or false, found {value!r}")


def _tags(row: Row) -> dict[str, str]:
    """Return the columns that are no field, empty ones left out; an object under `tags` is many of them."""
    tags = {column: value for column, value in row.items() if column and column not in FIELDS}
    nested = tags.pop("tags", None)
    if isinstance(nested, dict):
        tags |= nested
    elif nested is not None:
        tags["tags"] = nested
    return {name.removeprefix("tags."): text for name, value in tags.items() if (text := _tag(value))}


def _tag(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
