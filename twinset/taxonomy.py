"""Categories, article types, colours and the label maps of data sources, read from taxonomy.toml.

Merging or splitting categories is an edit of that file: nothing here knows a category's name.
"""

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from twinset.errors import DataError
from twinset.types import Product

Meaning = TypeVar("Meaning", str, str | None)


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    group: str
    en: str
    ko: str
    apart: tuple[str, ...] = ()  # categories a picture of a model wearing this one doesn't show beside it


@dataclass(frozen=True, slots=True)
class ArticleType:
    name: str
    category: str
    en: str
    ko: str


@dataclass(frozen=True, slots=True)
class Source:
    """How one data set's labels become categories. A label mapped to None is known and belongs to none."""

    name: str
    labels: Mapping[str, str | None]
    partial: frozenset[str] = frozenset()  # categories of which it labels some items and leaves others unlabelled

    @property
    def categories(self) -> frozenset[str]:
        """The categories this source labels; the absence of any other is not a negative."""
        return frozenset(category for category in self.labels.values() if category) - self.partial


@dataclass(frozen=True, slots=True, eq=False)  # mappings have no hash: what is made of one is kept by which it is
class Taxonomy:
    categories: tuple[Category, ...]
    article_types: tuple[ArticleType, ...]
    sources: Mapping[str, Source]
    colours: Mapping[str, tuple[str, str]]  # palette name -> (English, Korean)
    colour_names: Mapping[str, str]  # a source's colour name, folded -> palette name
    type_words: Mapping[str, str | None]  # a feed's word for a type, folded -> category or None
    type_names: Mapping[str, str]  # the same words, of types that belong to a category -> article type
    level: str = "category"  # what its categories are: see levels.py

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(category.name for category in self.categories)

    def category_of(self, article_type: str) -> str | None:
        """Return the category of a feed's article type, None if it belongs to none.

        Raises KeyError for a word the taxonomy does not know.
        """
        return self.type_words[fold(article_type)]

    def type_of(self, word: str) -> str | None:
        """Return the article type a feed's word for it means, None for a word that names none."""
        return self.type_names.get(fold(word))

    def base_colour(self, name: str) -> str | None:
        """Return the palette's colour for a feed's colour name, None for a name the taxonomy does not know."""
        return self.colour_names.get(fold(name))


def fold(word: str) -> str:
    """Return the word as taxonomy look-ups compare it: case, spaces, signs don't count, nor how Unicode spells it."""
    spelt = unicodedata.normalize("NFKC", word)  # a Mac may write Korean letter by letter
    return "".join(character for character in spelt.casefold() if character.isalnum())


def known_by(taxonomy: Taxonomy, product: Product) -> Product:
    """Return a product in a category of a taxonomy: that its feed gave, where it has it, else that of its article type.

    Where it lacks both, what the product looks like decides, as it does where the feed gives none.
    """
    if product.category_given and product.category in taxonomy.names:
        return product
    kind = fold(product.article_type or "")
    if kind in taxonomy.type_words:
        return replace(product, category=taxonomy.type_words[kind], category_given=True)
    if not product.category_given or product.category is None:
        return product
    return replace(product, category=None, category_given=False)


@cache
def default_taxonomy() -> Taxonomy:
    """Return the taxonomy Twinset ships."""
    return read_taxonomy(Path(__file__).with_name("taxonomy.toml"))


def read_taxonomy(path: Path) -> Taxonomy:
    """Return the taxonomy in a TOML file. Raises DataError naming the entry that is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:  # TOMLDecodeError and UnicodeDecodeError among them
        raise DataError(f"{path}: expected a taxonomy in TOML, {exc}") from exc
    return parse_taxonomy(data, str(path))


def parse_taxonomy(data: Mapping[str, Any], where: str = "taxonomy") -> Taxonomy:
    """Return the taxonomy in parsed TOML. Raises DataError naming the entry that is wrong."""
    try:
        categories = tuple(
            Category(name, **{**entry, "apart": tuple(entry.get("apart", ()))})
            for name, entry in data["categories"].items()
        )
        known = {category.name for category in categories}

        def checked(category: str, entry: str) -> str | None:
            if category and category not in known:
                raise DataError(f"{where}: {entry} names the category {category!r}; expected one of {sorted(known)}")
            return category or None

        for category in categories:
            for other in category.apart:
                checked(other, f"categories.{category.name}.apart")
        types, words, type_names = [], dict[str, str | None](), dict[str, str]()
        for name, entry in data["article_types"].items():
            type_category = checked(entry["category"], f"article_types.{name}")
            if type_category:
                types.append(ArticleType(name, type_category, entry["en"], entry["ko"]))
            for word in (name, entry["en"], entry["ko"], *entry.get("also", ())):
                _name(words, word, type_category, f"{where}: article_types.{name}")
                if type_category:
                    type_names.setdefault(fold(word), name)
        for category in categories:
            for word in (category.name, category.en, category.ko):
                words.setdefault(fold(word), category.name)
        for word in data["no_category"]["words"]:
            _name(words, word, None, f"{where}: no_category")
        partial = {
            name: frozenset(checked(c, f"partial.{name}") or "" for c in listed)
            for name, listed in data.get("partial", {}).items()
        }
        sources = {
            name: Source(
                name,
                {label: checked(c, f"sources.{name}.{label}") for label, c in labels.items()},
                partial.get(name, frozenset()),
            )
            for name, labels in data["sources"].items()
        }
        colours = {name: (entry["en"], entry["ko"]) for name, entry in data["colours"].items()}
        colour_names: dict[str, str] = {}
        for name, entry in data["colours"].items():
            for word in (name, entry["en"], entry["ko"], *entry.get("also", ())):
                _name(colour_names, word, name, f"{where}: colours.{name}")
    except (KeyError, TypeError, AttributeError) as exc:
        raise DataError(f"{where}: expected categories, article_types, no_category, sources, colours; {exc!r}") from exc
    return Taxonomy(categories, tuple(types), sources, colours, colour_names, words, type_names)


def _name(meanings: dict[str, Meaning], word: str, meaning: Meaning, entry: str) -> None:
    """Give a word its meaning. Raises DataError for a word that means something else already."""
    known = meanings.setdefault(fold(word), meaning)
    if known != meaning:
        raise DataError(f"{entry} names the word {word!r}, which means {known or 'no category'} already; drop one")
