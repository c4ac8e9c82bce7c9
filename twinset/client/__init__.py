"""A client of the HTTP API: `pip install 'twinset[client]'`.

from twinset.client import Client

with Client("http://127.0.0.1:8000", key="tw_...") as shop:
    for item in shop.search(Path("street.jpg"), k=12).items:
        print(item.category, [hit.product_id for hit in item.hits])
"""

from twinset.client.client import Client, Problem, Unreachable
from twinset.client.values import Colour, Facet, FacetValue, FailedRow, Hit, Item, Job, LookPart, Photo, Product

__all__ = [
    "Client",
    "Colour",
    "Facet",
    "FacetValue",
    "FailedRow",
    "Hit",
    "Item",
    "Job",
    "LookPart",
    "Photo",
    "Problem",
    "Product",
    "Unreachable",
]
