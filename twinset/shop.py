"""A model and a store opened together: what the Python user, the command line and the service hold on to."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from twinset.types import Box, FoundItem, Hit, Image

if TYPE_CHECKING:
    from twinset.describe.labels import LabelWeights
    from twinset.images import Photo
    from twinset.indexing import IndexReport
    from twinset.looks.complete import LookPart
    from twinset.looks.model import LookModel
    from twinset.models import Models
    from twinset.pipeline import Progress
    from twinset.rules import Rules
    from twinset.store import Shelf, Store
    from twinset.store.generations import Generation
    from twinset.taxonomy import Taxonomy

DEFAULT_STORE = "twinset-store"
DEFAULT_MODEL = "default"
T = TypeVar("T")


def open_shop(
    store: str | Path = DEFAULT_STORE, model: str | None = None, threads: int | None = None, create: bool = False
) -> "Shop":
    """Return a shop ready to be searched, its model and store loaded once.

    Without a `model` it is the one that was rolled out in the store, else `default`. With `create` a store that is
    missing is made, empty, for `Shop.index` to fill; otherwise it raises StoreError, as one that is damaged or of a
    newer format does. Raises ModelMismatch for a store filled by another model.
    """
    from twinset.models import load_models
    from twinset.store import open_store

    models = load_models(model or model_for(store), threads)
    return Shop(models, open_store(store, models.version, create, models.dim), threads)


def model_for(store: str | Path) -> str:
    """Return the name or folder of the model that was rolled out in a store, `default` where none was."""
    from twinset.models import source_of
    from twinset.store import open_shelf
    from twinset.store.generations import read_generations

    found = read_generations(open_shelf(store))
    return (found.current.source or source_of(found.current.model) if found else "") or DEFAULT_MODEL


def taxonomy_for(store: str | Path, model: str | None = None) -> "Taxonomy":
    """Return the taxonomy of a model by its name or folder, by default of `model_for`, for those who load neither.

    Where the folder of a model that was rolled out is gone, it is the taxonomy that ships: a store is asked without
    its model, too. Raises ModelError for a `model` that isn't there.
    """
    from twinset.models import find_taxonomy

    return _of_model(find_taxonomy, store, model)


def folder_for(store: str | Path, model: str | None = None) -> Path:
    """Return the folder of the model that `taxonomy_for` goes by. Raises ModelError for a `model` that isn't there."""
    from twinset.models import model_folder

    return _of_model(model_folder, store, model)


def _of_model(read: Callable[[str], T], store: str | Path, model: str | None) -> T:
    from twinset.errors import ModelError

    if model:
        return read(model)
    try:
        return read(model_for(store))
    except ModelError:
        return read(DEFAULT_MODEL)


def open_generation(
    shelf: "Shelf", generation: "Generation", threads: int | None = None, model: str | None = None
) -> "Shop":
    """Return one of a store's generations ready to be searched, with its model, looked for in `model` if that is given.

    Writes to it are refused while another is in use. Raises StoreError, ModelError, ModelMismatch.
    """
    from twinset.models import load_version
    from twinset.store.generations import guard_of

    models = load_version(generation.model, model or generation.source, threads)
    guard = guard_of(shelf, generation.number)
    return Shop(models, shelf.open(generation.number, generation.model, create=False, guard=guard), threads)


class Shop:
    """A shop's products, searched by photo. Safe to use from several threads.

    Photos are files, (H, W, 3) uint8 RGB arrays, or what `images.decode_photo` returns.
    """

    def __init__(self, models: "Models", store: "Store", threads: int | None = None) -> None:
        self.models, self.store = models, store
        self._looks: LookModel | None = None  # read at the first look
        self.threads = threads  # the model runs with; None: all this container may use

    def detect(self, image: "Image | Photo | str | Path", min_score: float | None = None) -> list[FoundItem]:
        """Return the items in a photo, best first, without hits."""
        from twinset.search import detect_image

        return detect_image(_loaded(image), self.models, min_score)

    def search(
        self,
        image: "Image | Photo | str | Path",
        k: int = 24,
        category: str | None = None,
        box: Box | None = None,
        whole: bool = False,
        where: Sequence[str] = (),
        shop: str | None = None,
        min_score: float = 0.0,
        offset: int = 0,
        facets: Sequence[str] = (),
        explain: bool = False,
        rules: "Rules | None" = None,
        words: str = "",
        weights: "LabelWeights | None" = None,
    ) -> list[FoundItem]:
        """Return the items in a photo, best first, each with up to `k` products most like it; see `search_image`."""
        from twinset.search import search_image

        return search_image(
            _loaded(image),
            self.models,
            self.store,
            k=k,
            category=category,
            box=box,
            whole=whole,
            where=where,
            shop=shop,
            min_score=min_score,
            offset=offset,
            facets=facets,
            explain=explain,
            rules=rules,
            words=words,
            weights=weights,
        )

    def search_words(
        self,
        words: str,
        k: int = 24,
        category: str | None = None,
        where: Sequence[str] = (),
        shop: str | None = None,
        offset: int = 0,
    ) -> list[Hit]:
        """Return up to `k` products that say the words, or look like them; see `word_search.words_page`."""
        from twinset.hits import Wanted
        from twinset.word_search import words_page

        wanted = Wanted(k, offset, where=where, shop=shop, taxonomy=self.models.taxonomy)
        return list(words_page(words, self.models, self.store, wanted, category).hits)

    def similar(
        self,
        product_id: str,
        shop: str = "default",
        k: int = 24,
        where: Sequence[str] = (),
        min_score: float = 0.0,
        offset: int = 0,
        diversity: float = 0.0,
        merge_copies: bool = False,
    ) -> list[Hit]:
        """Return up to `k` other products of a shop most like one of its own; see `recommend.similar_products`."""
        from twinset.recommend import similar_products

        return similar_products(
            product_id,
            self.store,
            shop=shop,
            k=k,
            where=where,
            min_score=min_score,
            offset=offset,
            diversity=diversity,
            merge_copies=merge_copies,
            taxonomy=self.models.taxonomy,
        )

    def look(
        self, product_id: str, shop: str = "default", k: int = 6, where: Sequence[str] = (), categories: int = 4
    ) -> "list[LookPart]":
        """Return what goes with a product, category by category, nothing where the model has no looks.

        See `looks.complete.complete_look`.
        """
        from twinset.looks.complete import complete_look
        from twinset.looks.model import NO_LOOKS, has_looks, load_looks

        if self._looks is None:
            folder = self.models.folder
            self._looks = load_looks(folder) if has_looks(folder) else NO_LOOKS
        return complete_look(
            product_id,
            self.store,
            self._looks,
            shop=shop,
            k=k,
            where=where,
            categories=categories,
            taxonomy=self.models.taxonomy,
        )

    def index(
        self,
        feed: str | Path,
        rename: Mapping[str, str] | None = None,
        strict: bool = False,
        progress: "Progress | None" = None,
        allow_private: bool = False,
    ) -> "IndexReport":
        """Bring the store up to date with a product feed; see `index_feed`."""
        from twinset.indexing import index_into

        return index_into(
            Path(feed),
            self.store,
            self.models,
            rename=rename,
            strict=strict,
            progress=progress,
            allow_private=allow_private,
        )

    def image_of(self, product_id: str, shop: str = "default") -> str:
        """Return the path or URL of a product's first stored image. Raises NotFound."""
        entry = self.store.get(product_id, shop)
        return entry.product.images[entry.items[0].image_no]

    def product_image(self, product_id: str, shop: str = "default", allow_private: bool = False) -> bytes:
        """Return the bytes of a product's first stored image. Raises NotFound, and DataError if it can't be had."""
        from twinset.fetch import fetch_url
        from twinset.images import read_image_bytes

        image = self.image_of(product_id, shop)
        if not image.lower().startswith(("http://", "https://")):
            return read_image_bytes(Path(image))
        data = fetch_url(image, allow_private=allow_private).data
        assert data is not None  # None answers an ETag, and none was sent
        return data


def _loaded(image: "Image | Photo | str | Path") -> "Image | Photo":
    from twinset.images import read_photo

    return read_photo(Path(image)) if isinstance(image, str | Path) else image
