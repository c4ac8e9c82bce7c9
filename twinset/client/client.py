"""The routes as methods. Every method raises Problem for what the service refuses, Unreachable where none answers."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twinset.client.values import Facet, Hit, Item, Job, Json, LookPart, Photo, Product, read
from twinset.errors import MissingExtra, TwinsetError, UsageError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
LONGEST_WAIT_S = 10.0  # for a service that is busy
POLL_S = 0.5


class Problem(TwinsetError):
    """What the service refused, and what to change."""

    def __init__(
        self, status: int, detail: str, errors: Sequence[Json] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail, self.errors, self.retry_after_s = status, detail, list(errors), retry_after_s


class Unreachable(TwinsetError):
    """No service answered, or none in time, or something else than the service."""


class Client:
    """A shop's service. Safe to use from several threads; close it, or use it as a context.

    `retries` is how often a request is made again where the service is busy (429, 503), after as long as it asks.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        retries: int = 2,
        timeout_s: float = TIMEOUT_S,
        http: "httpx.Client | None" = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import httpx
        except ModuleNotFoundError as exc:
            raise MissingExtra("httpx", "client") from exc
        self._http = http or httpx.Client(base_url=url, timeout=timeout_s)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._retries, self._sleep = retries, sleep

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- photos -------------------------------------------------------------------------------------------------------

    def search(
        self,
        photo: bytes | str | Path | None = None,
        *,
        url: str | None = None,
        image_id: str | None = None,
        product_id: str | None = None,
        k: int = 24,
        category: str | None = None,
        box: tuple[float, float, float, float] | None = None,
        whole: bool = False,
        where: Sequence[str] = (),
        min_score: float | None = None,
        facets: Sequence[str] = (),
        shop: str | None = None,
        keep: bool = False,
        words: str | None = None,
        cursor: str | None = None,
    ) -> Photo:
        """Return a photo's items with their hits. The photo is one of `photo`, `url`, `image_id` and `product_id`.

        `words` say what should be otherwise: "like this but red".
        """
        fields: Json = {"url": url, "image_id": image_id, "product_id": product_id, "k": k}
        fields |= {"category": category, "box": box}
        fields |= {"whole": whole, "where": tuple(where), "min_score": min_score, "facets": tuple(facets)}
        fields |= {"shop": shop, "keep": keep, "words": words, "cursor": cursor}
        return read(Photo, self._send_photo("/v1/search", photo, fields))

    def next_page(
        self,
        image_id: str,
        item: Item,
        *,
        k: int = 24,
        where: Sequence[str] = (),
        min_score: float | None = None,
        facets: Sequence[str] = (),
        shop: str | None = None,
        words: str | None = None,
    ) -> Item | None:
        """Return an item with its next hits, None behind the last.

        The photo was sent with `keep`; what else the search said is to be said again.
        """
        if item.next_cursor is None:
            return None
        same: dict[str, Any] = {"where": where, "min_score": min_score, "facets": facets, "shop": shop, "words": words}
        return self.search(image_id=image_id, cursor=item.next_cursor, k=k, **same).items[0]

    def search_words(
        self,
        words: str,
        *,
        k: int = 24,
        category: str | None = None,
        where: Sequence[str] = (),
        min_score: float | None = None,
        shop: str | None = None,
    ) -> list[Hit]:
        """Return the products that say the words, or look like them."""
        params = {"words": words, "k": k, "category": category, "where": list(where)}
        params |= {"min_score": min_score, "shop": shop}
        return [read(Hit, hit) for hit in self._ask("GET", "/v1/search/words", params=params)["hits"]]

    def detect(
        self,
        photo: bytes | str | Path | None = None,
        *,
        url: str | None = None,
        image_id: str | None = None,
        min_score: float | None = None,
        keep: bool = False,
    ) -> Photo:
        """Return a photo's items without hits."""
        fields = {"url": url, "image_id": image_id, "min_score": min_score, "keep": keep}
        return read(Photo, self._send_photo("/v1/detect", photo, fields))

    def facets(
        self,
        fields: Sequence[str] = (),
        *,
        category: str | None = None,
        where: Sequence[str] = (),
        shop: str | None = None,
    ) -> list[Facet]:
        """Return how many products have each value of some fields; of the usual ones by default."""
        params = {"category": category, "where": list(where), "shop": shop, "fields": list(fields)}
        return [read(Facet, facet) for facet in self._ask("GET", "/v1/facets", params=params)["facets"]]

    # --- products -----------------------------------------------------------------------------------------------------

    def similar(
        self,
        product_id: str,
        *,
        k: int = 24,
        where: Sequence[str] = (),
        min_score: float | None = None,
        diversity: float | None = None,
        merge_copies: bool = False,
        shop: str | None = None,
    ) -> list[Hit]:
        """Return the products most like one of the shop's; see `twinset similar` for diversity and copies."""
        params = {"k": k, "where": list(where), "min_score": min_score, "shop": shop}
        params |= {"diversity": diversity, "merge_copies": merge_copies or None}
        answer = self._ask("GET", f"/v1/products/{_part(product_id)}/similar", params=params)
        return [read(Hit, hit) for hit in answer["hits"]]

    def colours(
        self, product_id: str, *, k: int = 12, where: Sequence[str] = (), shop: str | None = None
    ) -> list[Json]:
        """Return for other colours the same product or what is most like it: colour, same_product and the `hit`."""
        params = {"k": k, "where": list(where), "shop": shop}
        found = self._ask("GET", f"/v1/products/{_part(product_id)}/colours", params=params)["colours"]
        return [{**each, "hit": read(Hit, each["hit"])} for each in found]

    def cheaper(self, product_id: str, *, k: int = 24, where: Sequence[str] = (), shop: str | None = None) -> list[Hit]:
        """Return the products like one of the shop's that cost less."""
        params = {"k": k, "where": list(where), "shop": shop}
        answer = self._ask("GET", f"/v1/products/{_part(product_id)}/cheaper", params=params)
        return [read(Hit, hit) for hit in answer["hits"]]

    def look(
        self,
        product_id: str,
        *,
        k: int = 6,
        categories: int = 4,
        where: Sequence[str] = (),
        shop: str | None = None,
    ) -> list[LookPart]:
        """Return what is worn with one of the shop's products, the likeliest category first."""
        params = {"k": k, "categories": categories, "where": list(where), "shop": shop}
        answer = self._ask("GET", f"/v1/products/{_part(product_id)}/look", params=params)
        return [read(LookPart, part) for part in answer["look"]]

    def product(self, product_id: str, *, shop: str | None = None) -> Product:
        """Return a product as it is stored."""
        return read(Product, self._ask("GET", f"/v1/products/{_part(product_id)}", params={"shop": shop}))

    def product_image(self, product_id: str, *, shop: str | None = None) -> bytes:
        """Return the bytes of a product's picture."""
        path = f"/v1/products/{_part(product_id)}/image"
        return self._request("GET", path, params={"shop": shop}, follow_redirects=True).content

    def products(self, *, shop: str | None = None, limit: int = 100) -> Iterator[Product]:
        """Yield a shop's products by id, asking for so many at once."""
        for entry in self._pages("/v1/products", "products", {"shop": shop, "limit": limit}):
            yield read(Product, entry)

    def put_product(self, product_id: str, row: Mapping[str, Any], *, shop: str | None = None) -> Product:
        """Store a product: the columns of a feed's row. It is on disk once this returns."""
        path = f"/v1/products/{_part(product_id)}"
        return read(Product, self._ask("PUT", path, params={"shop": shop}, json=dict(row)))

    def delete_product(self, product_id: str, *, shop: str | None = None) -> None:
        """Remove a product."""
        self._request("DELETE", f"/v1/products/{_part(product_id)}", params={"shop": shop})

    def bulk(self, rows: Sequence[Mapping[str, Any]], *, shop: str | None = None) -> Job:
        """Store many products in the background, and remove those with "delete": True. Returns the job; see `wait`."""
        body = {"products": [dict(row) for row in rows]}
        return read(Job, self._ask("POST", "/v1/products/bulk", params={"shop": shop}, json=body))

    # --- jobs, events, reports, rules ---------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """Return how far a job is."""
        return read(Job, self._ask("GET", f"/v1/jobs/{_part(job_id)}"))

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs, newest first."""
        for entry in self._pages("/v1/jobs", "jobs", {}):
            yield read(Job, entry)

    def wait(self, job: Job, *, poll_s: float = POLL_S) -> Job:
        """Return a job once it is over."""
        while not job.over:
            self._sleep(poll_s)
            job = self.job(job.id)
        return job

    def send_events(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Store what shoppers did: type, product_id, search_id, item_no, position. Returns how many were stored."""
        stored: int = self._ask("POST", "/v1/events", json={"events": [dict(event) for event in events]})["stored"]
        return stored

    def report(self, name: str, *, days: int = 30, shop: str | None = None) -> Json:
        """Return a report: searches, misses, clicks or quality."""
        return self._ask("GET", f"/v1/reports/{_part(name)}", params={"days": days, "shop": shop})

    def miss_crops(self, *, days: int = 30, limit: int = 60, shop: str | None = None) -> Json:
        """Return pictures of items the shop had nothing close to, newest first, where the service keeps them."""
        params = {"days": days, "limit": limit, "shop": shop}
        return self._ask("GET", "/v1/reports/misses/crops", params=params)

    def rules(self, *, shop: str | None = None) -> Json:
        """Return the shop's rules."""
        found: Json = self._ask("GET", "/v1/rules", params={"shop": shop})["rules"]
        return found

    def put_rules(self, rules: Mapping[str, Any], *, shop: str | None = None) -> Json:
        """Keep rules in the place of the shop's own, and return them whole."""
        kept: Json = self._ask("PUT", "/v1/rules", params={"shop": shop}, json=dict(rules))["rules"]
        return kept

    def preview_rules(self, rules: Mapping[str, Any], photo: bytes | str | Path | None = None, **fields: Any) -> Photo:
        """Return a search by rules that are not kept; its items have `hits_before`. `fields` are those of `search`."""
        return read(Photo, self._send_photo("/v1/rules/preview", photo, {**fields, "rules": rules}))

    # --- another model ------------------------------------------------------------------------------------------------

    def rollout(self) -> Json:
        """Return the store's generations, and the models that may be rolled out."""
        return self._ask("GET", "/v1/rollout")

    def reindex(self, model: str) -> Job:
        """Describe all products by another model, beside the one in use. Returns the job; see `wait`."""
        return read(Job, self._ask("POST", "/v1/rollout/reindex", json={"model": model}))

    def switch(self, generation: int | None = None, *, yes: bool = False) -> Job:
        """Put another generation in use, by default the newest. Returns the job; see `wait`."""
        body = {"generation": generation, "yes": yes}
        return read(Job, self._ask("POST", "/v1/rollout/switch", json=body))

    def switch_back(self, *, now: bool = False) -> Job:
        """Put the generation that was in use before in its place again. Returns the job; see `wait`."""
        return read(Job, self._ask("POST", "/v1/rollout/back", json={"now": now}))

    def drop_generation(self, generation: int) -> None:
        """Remove a generation that is not in use, for good."""
        number = str(generation)
        self._request("DELETE", f"/v1/rollout/generations/{_part(number)}")

    # --- the service --------------------------------------------------------------------------------------------------

    def shop(self) -> Json:
        """Return the categories and colours with their names, and what the page needs beside."""
        return self._ask("GET", "/v1/shop")

    def shops(self) -> list[Json]:
        """Return the shops the key may see, with their number of products."""
        found: list[Json] = self._ask("GET", "/v1/shops")["shops"]
        return found

    def models(self) -> list[Json]:
        """Return the models there are; one is active."""
        found: list[Json] = self._ask("GET", "/v1/models")["models"]
        return found

    def ready(self) -> bool:
        """Tell whether the service answers, with models and store loaded."""
        try:
            return self._send("GET", "/readyz").status_code == 200
        except Unreachable:
            return False

    # --- requests -----------------------------------------------------------------------------------------------------

    def _send_photo(self, path: str, photo: bytes | str | Path | None, fields: Mapping[str, Any]) -> Json:
        form = _form(fields)
        data = Path(photo).read_bytes() if isinstance(photo, str | Path) else photo
        if data is None:
            return self._ask("POST", path, json=form)
        return self._ask("POST", path, data=form, files={"photo": ("photo", data)})

    def _pages(self, path: str, name: str, params: Mapping[str, Any]) -> Iterator[Json]:
        cursor = None
        while True:
            page = self._ask("GET", path, params={**params, "cursor": cursor})
            yield from page[name]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **more: Any) -> Json:
        response = self._request(method, path, **more)
        try:
            answer: Json = response.json()
        except ValueError as exc:
            raise self._unreachable(f"expected JSON, found {response.text[:80]!r}") from exc
        return answer

    def _request(self, method: str, path: str, **more: Any) -> "httpx.Response":
        params = more.pop("params", None) or {}
        more["params"] = {name: value for name, value in params.items() if value is not None and value != []}
        for attempt in range(self._retries + 1):
            response = self._send(method, path, **more)
            if response.is_success:
                return response
            problem = _problem(response)
            if problem.retry_after_s is None or attempt == self._retries:
                raise problem
            self._sleep(min(problem.retry_after_s, LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, **more: Any) -> "httpx.Response":
        import httpx

        try:
            return self._http.request(method, path, headers=self._headers, **more)
        except httpx.RequestError as exc:
            raise self._unreachable(f"expected the service, found: {str(exc) or type(exc).__name__}") from exc

    def _unreachable(self, found: str) -> Unreachable:
        return Unreachable(f"{self._http.base_url}: {found}; check the address, and that it runs")


def _form(fields: Mapping[str, Any]) -> Json:
    """Return a search's fields as texts and lists of texts, without those that say nothing."""
    form: Json = {}
    for name, value in fields.items():
        if value is None or value is False or value == ():
            continue
        if name == "box":
            value = ",".join(map(str, value))
        elif isinstance(value, Mapping):
            value = json.dumps(value)
        form[name] = "true" if value is True else list(value) if isinstance(value, list | tuple) else str(value)
    return form


def _part(text: str) -> str:
    if not text:
        raise UsageError("expected an id, found none; give the product's or the job's", field="id")
    return quote(text, safe="")


def _problem(response: "httpx.Response") -> Problem:
    try:
        body = response.json()
        detail, errors = str(body["detail"]), body.get("errors", [])
    except (ValueError, KeyError, TypeError):
        detail, errors = response.text[:200], []
    told = response.headers.get("retry-after", "")
    return Problem(response.status_code, detail, errors, float(told) if told.isdigit() else None)
