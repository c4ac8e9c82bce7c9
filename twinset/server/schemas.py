"""The answers' shapes, for the API's documentation. The values are made by answers.py."""

from typing import Any

from pydantic import BaseModel, Field

from twinset.rules import Rules


class ColourAnswer(BaseModel):
    name: str = Field(examples=["blue"])
    share: float = Field(description="Of the item's pixels, 0 to 1.", examples=[0.71])


class WhyAnswer(BaseModel):
    same_category: bool
    colour_distance: float = Field(description="The share of their colours that the two don't have in common.")
    shared: dict[str, str] = Field(description="Attributes both have.")
    different: dict[str, list[str]] = Field(description="Attribute: the item's value, the hit's.")


class HitAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    score: float = Field(description="0 to 1, 1 for the same picture.", examples=[0.87])
    category: str | None = Field(examples=["top"])
    article_type: str | None = Field(examples=["Tshirts"])
    title: str = Field(examples=["Blue T-shirt"])
    price: float | None = Field(examples=[10.67])
    currency: str | None = Field(examples=["EUR"])
    image: str = Field(description="Where this service shows the product's picture.")
    colours: list[ColourAnswer] = Field([], description="The largest share first.")
    shop: str = Field("default", examples=["default"])
    url: str | None = Field(None, examples=["https://shop.example/1563"])
    sale_price: float | None = None
    group_id: str | None = None
    in_stock: bool = Field(True, description="One of its group is.")
    variants: int = Field(1, description="Products of its group that this hit stands for.")
    rule: str | None = Field(None, description="That gave it its place: pinned, boosted or buried.")
    attributes: dict[str, str] = Field({}, examples=[{"gender": "women"}])
    copies: list[str] = Field([], description="Listings of the same picture that this hit stands for.")
    why: WhyAnswer | None = None


class FacetValueAnswer(BaseModel):
    value: str = Field(examples=["blue"])
    count: int = Field(description="Hits there would be with this condition.", examples=[812])
    where: str = Field(description="The condition, as where takes it.", examples=["colour=blue"])
    low: float | None = Field(None, description="Of a price band; included.")
    high: float | None = Field(None, description="Of a price band; not included.")


class FacetAnswer(BaseModel):
    field: str = Field(examples=["colour"])
    exact: bool = Field(True, description="False: counts are those of a sample, scaled up.")
    values: list[FacetValueAnswer]


class FacetsAnswer(BaseModel):
    facets: list[FacetAnswer]


class DetectedItem(BaseModel):
    category: str | None = Field(description="None where a box shows nothing the detector knows.", examples=["top"])
    score: float | None = Field(examples=[0.91])
    box: list[float] = Field(
        description="x1, y1, x2, y2 in pixels after EXIF rotation.", examples=[[88.0, 120.5, 260, 330]]
    )
    colours: list[ColourAnswer]
    attributes: dict[str, str] = Field({}, description="Shown surely enough.", examples=[{"pattern": "striped"}])


class SearchedItem(DetectedItem):
    hits: list[HitAnswer]
    facets: list[FacetAnswer] = Field([], description="Of the fields that were asked for.")
    close_enough: bool | None = Field(None, description="False: the shop carries nothing like it.")
    close_from: float | None = Field(None, description="The score from which a hit is close enough.")
    next_offset: int | None = Field(None, description="How many hits come before the next page.")
    next_cursor: str | None = Field(None, description="With the same photo: this item's next hits. None on the last.")


class DetectAnswer(BaseModel):
    width: int = Field(examples=[400])
    height: int = Field(examples=[600])
    items: list[DetectedItem]
    image_id: str | None = Field(None, description="With keep=true: names the photo for a second request.")
    image_seconds: float | None = Field(None, description="How long the photo is held in memory.", examples=[600])


class SearchAnswer(BaseModel):
    width: int = Field(examples=[400])
    height: int = Field(examples=[600])
    items: list[SearchedItem]
    search_id: str = Field(
        "", description="For events about these hits.", examples=["5f0c1a9be2c84d6f9d6e4b7f0a1c2d3e"]
    )
    image_id: str | None = Field(None, description="With keep=true: names the photo for a second request.")
    image_seconds: float | None = Field(None, description="How long the photo is held in memory.", examples=[600])


class PreviewItem(SearchedItem):
    hits_before: list[HitAnswer] = Field(description="With the rules that are kept.")


class PreviewAnswer(BaseModel):
    width: int
    height: int
    items: list[PreviewItem]
    image_id: str | None = Field(None, description="Of the photo, where it is held.")
    image_seconds: float | None = None


class WordsAnswer(BaseModel):
    words: str = Field(examples=["red striped shirt"])
    search_id: str = ""
    hits: list[HitAnswer]
    facets: list[FacetAnswer] = []
    next_cursor: str | None = None


class RulesAnswer(BaseModel):
    shop: str = Field(examples=["default"])
    rules: Rules


class SimilarAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    hits: list[HitAnswer]
    next_cursor: str | None = None


class InColourAnswer(BaseModel):
    colour: str = Field(examples=["red"])
    same_product: bool = Field(description="A variant or listing of the same thing; else what is most like it.")
    hit: HitAnswer


class ColoursAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    colours: list[InColourAnswer]


class CheaperAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    price: float | None = Field(description="Of the product itself.", examples=[12.5])
    hits: list[HitAnswer]


class LookPartAnswer(BaseModel):
    category: str = Field(examples=["trousers"])
    share: float = Field(description="The chance of this category beside the product.", examples=[0.41])
    colours: list[str] = Field(description="That go best, the best first.", examples=[["blue", "black", "white"]])
    hits: list[HitAnswer] = Field(description="Their score says how well colour and style go, 1 at best.")


class LookAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    look: list[LookPartAnswer]


class ProductAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    shop: str = Field(examples=["default"])
    title: str = Field(examples=["Blue T-shirt"])
    price: float | None = Field(examples=[12.5])
    sale_price: float | None = None
    currency: str | None = Field(examples=["EUR"])
    category: str | None = Field(examples=["top"])
    article_type: str | None = Field(examples=["Tshirts"])
    url: str | None = None
    in_stock: bool = True
    group_id: str | None = None
    updated_at: str | None = None
    tags: dict[str, str] = Field({}, examples=[{"season": "summer"}])
    image: str = Field(description="Where this service shows the product's picture.")


class ProductsAnswer(BaseModel):
    products: list[ProductAnswer]
    next_cursor: str | None = Field(None, description="Give it as cursor for the next page; none on the last.")


class FailedRowAnswer(BaseModel):
    line: int = Field(description="Of the row in the request, from 1.", examples=[3])
    product_id: str = Field(examples=["1564"])
    reason: str


class JobAnswer(BaseModel):
    id: str = Field(examples=["20261124101500-0123456789ab"])
    shop: str | None = None
    kind: str = Field(examples=["products"])
    state: str = Field(description="queued, running, done or failed.", examples=["running"])
    total: int = Field(description="Rows.", examples=[1000])
    done: int = Field(description="Rows, those that failed among them.", examples=[448])
    indexed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed_rows: int = 0
    failed: list[FailedRowAnswer] = []
    problem: str = ""
    created_at: str = ""
    ended_at: str = ""
    options: dict[str, Any] = Field({}, description="Of a roll-out: the model, the generation and so on.")


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]
    next_cursor: str | None = None


class EventsAnswer(BaseModel):
    stored: int = Field(examples=[2])


class SearchGroup(BaseModel):
    category: str | None = Field(examples=["dress"])
    colour: str | None = Field(examples=["green"])
    searches: int
    mean_best_score: float | None = None


class SearchesAnswer(BaseModel):
    days: int
    groups: list[SearchGroup]


class MissGroup(BaseModel):
    category: str | None = Field(examples=["dress"])
    colour: str | None = Field(examples=["green"])
    misses: int
    mean_best_score: float | None = None


class MissesAnswer(BaseModel):
    days: int
    below: float
    searches: int = Field(description="All that may be misses: without filters, words or a least score.")
    misses: int = Field(description="All of them, also of groups that are not listed.")
    groups: list[MissGroup]


class MissCrop(BaseModel):
    category: str | None = Field(examples=["dress"])
    colour: str | None = Field(examples=["green"])
    at: float = Field(description="Seconds since 1970.")
    jpeg: str = Field(description="Base64 of a small JPEG.")


class MissCropsAnswer(BaseModel):
    days: int
    kept: int = Field(description="Pictures kept at most, the setting miss_crops; 0: none.")
    crops: list[MissCrop]


class PositionClicks(BaseModel):
    position: int = Field(description="In the hits, from 0.")
    view: int
    click: int
    add_to_cart: int
    purchase: int
    not_similar: int
    click_through: float | None = Field(description="Clicks for each view; none without views.")


class ClicksAnswer(BaseModel):
    days: int
    positions: list[PositionClicks]


class PlaceQuality(BaseModel):
    position: int = Field(description="In the hits, from 0.")
    shown: int = Field(description="Lists with a hit there.", examples=[1200])
    clicked: int = Field(examples=[90])
    click_through: float | None = Field(examples=[0.075])
    looked_at: float = Field(description="How likely the place is looked at, 1 for the likeliest.", examples=[0.52])
    wanted: float | None = Field(description="click_through / looked_at: of those who looked.", examples=[0.144])


class QualityAnswer(BaseModel):
    days: int
    position_bias: str = Field(description="How it was estimated how likely a place is looked at.")
    lists: int = Field(description="Lists of hits shown, 50,000 at most, the newest.", examples=[1200])
    clicks: int = Field(examples=[310])
    click_through: float = Field(description="Lists with a click, of all.", examples=[0.24])
    clicks_at_5: float = Field(description="Clicks on the first five hits, a hundred lists.", examples=[21.5])
    ndcg: float | None = Field(description="Of clicks, each weighed by 1 / looked_at; none without.", examples=[0.71])
    positions: list[PlaceQuality]


class ShopEntry(BaseModel):
    shop: str = Field(examples=["default"])
    products: int = Field(examples=[11044])


class ShopsAnswer(BaseModel):
    shops: list[ShopEntry]


class ModelEntry(BaseModel):
    name: str = Field(examples=["default"])
    version: str = Field(examples=["default-0123456789ab"])
    active: bool
    categories: list[str]


class GenerationEntry(BaseModel):
    generation: int = Field(description="Its number.", examples=[2])
    model: str = Field(description="The version of its vectors.", examples=["clean-0123456789ab"])
    state: str = Field(description="building, whole or dropping.", examples=["whole"])
    in_use: bool
    before: bool = Field(description="It was in use before: back goes to it.")
    products: int | None = Field(None, description="Of all shops: a key of one is not told.", examples=[11044])
    done: int | None = Field(
        None, description="Products it had when somebody last worked on it; told as they are.", examples=[11044]
    )
    failed: int | None = Field(
        None, description="Products whose pictures could not be described; told as they are.", examples=[0]
    )


class ModelsAnswer(BaseModel):
    models: list[ModelEntry]
    generations: list[GenerationEntry] = Field([], description="Of the store, once another model was rolled out.")


class GoldenFigures(BaseModel):
    queries: int
    before: dict[str, float] = Field(examples=[{"wanted_at_1": 0.9}])
    after: dict[str, float] = Field(examples=[{"wanted_at_1": 0.95}])
    overlap_at_10: float
    better: int
    worse: int


class RolloutGeneration(GenerationEntry):
    opened: bool = Field(description="This process can serve it at once.")
    problem: str = Field(description="Why this process can't serve it.")
    golden: GoldenFigures | None = Field(None, description="What golden queries said of it last.")


class RolloutAnswer(BaseModel):
    generations: list[RolloutGeneration]
    models: list[str] = Field(description="That may be rolled out.", examples=[["default", "clean"]])


class ErrorEntry(BaseModel):
    field: str
    expected: str
    found: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ErrorEntry]


_STATUSES = {
    401: "No key, or none of ours",
    403: "The key may not do this",
    404: "No product, photo or job has this id",
    413: "Too many bytes or pixels",
    415: "Not an image we read",
    422: "A bad field",
    429: "Too many requests: see Retry-After",
    503: "Not ready, or too busy: see Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problem documents an operation may answer with."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": _STATUSES[status], "content": content}
        for status in sorted({*statuses, 401, 403, 422, 429})
    }


PROBLEMS = problems(404, 413, 415, 503)
