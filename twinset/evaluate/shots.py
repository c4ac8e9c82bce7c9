"""The pictures of a feed's products, read in batches: the first of each product, as evaluation judges one a product."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from twinset.errors import DataError
from twinset.fetch import fetch_url
from twinset.images import decode_image, read_image_bytes
from twinset.types import Image, Product

BATCH = 32


class Shot(NamedTuple):
    """A product's first picture."""

    product: Product
    digest: str  # of its bytes: the same for byte-identical pictures
    image: Image


def is_validation(product: Product) -> bool:
    """Return whether a product is never trained on: its id ends in 0."""
    return product.product_id.endswith("0")


def read_shots(products: Sequence[Product], unread: list[str]) -> Iterator[list[Shot]]:
    """Yield the products' pictures in batches. Those that can't be read are left out, told in `unread`."""
    for start in range(0, len(products), BATCH):
        part = []
        for product in products[start : start + BATCH]:
            try:
                part.append(_read(product))
            except DataError as exc:
                unread.append(f"product {product.product_id}: {exc}")
        if part:
            yield part


def _read(product: Product) -> Shot:
    source = product.images[0]
    is_url = source.lower().startswith(("http://", "https://"))
    data = (fetch_url(source).data or b"") if is_url else read_image_bytes(Path(source))
    return Shot(product, hashlib.sha256(data).hexdigest(), decode_image(data, source))
