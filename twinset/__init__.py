"""Self-hosted visual search for fashion shops: show a photo, get the shop's most similar products, item by item.

shop = twinset.open_shop("twinset-store")
for item in shop.search("street.jpg", k=24):
    print(item.category, item.box, [hit.product_id for hit in item.hits])
"""

from twinset.errors import TwinsetError
from twinset.types import Colour, Detections, FoundItem, Hit, Item, Product

__version__ = "0.1.0"
__all__ = ["Colour", "Detections", "FoundItem", "Hit", "Item", "Product", "TwinsetError", "__version__", "open_shop"]

from twinset.shop import open_shop
