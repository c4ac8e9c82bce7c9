"""Coarser and finer categories by taxonomy alone: what data sets label follows, and what they leave unlabelled."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from twinset.cli import cli
from twinset.cli.detector import kept_categories, note_taxonomy
from twinset.data.ccp import mask_boxes
from twinset.data.suggestions import Suggestion, in_taxonomy
from twinset.detect.detector import DetectorConfig, load_config
from twinset.errors import DataError, UsageError
from twinset.levels import at_level
from twinset.models import model_taxonomy
from twinset.taxonomy import default_taxonomy, read_taxonomy

TAXONOMY = default_taxonomy()
GROUPS, TYPES = at_level(TAXONOMY, "group"), at_level(TAXONOMY, "article-type")
SHIPPED = Path(__file__).parent.parent / "twinset" / "taxonomy.toml"


def merged(tmp_path: Path) -> Path:
    """A taxonomy file in which skirts and shorts are one category."""
    text = SHIPPED.read_text(encoding="utf-8")
    text = text.replace('category = "skirt"', 'category = "shorts"').replace('skirt = "skirt"', 'skirt = "shorts"')
    lines = [line for line in text.splitlines() if not line.startswith("skirt = { group")]
    text = "\n".join(lines).replace('"skirt", ', "")
    file = tmp_path / "merged.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_level_of_categories_is_the_taxonomy_itself():
    assert at_level(TAXONOMY, "category") is TAXONOMY


def test_an_unknown_level_is_refused():
    with pytest.raises(UsageError, match="expected one of group, category, article-type, found 'brand'"):
        at_level(TAXONOMY, "brand")


def test_groups_take_their_categories_words_and_labels():
    assert GROUPS.names == ("clothes/top", "clothes/one-piece", "clothes/bottom", "shoes", "bag", "accessory")
    assert GROUPS.category_of("Jeans") == GROUPS.category_of("skirt") == "clothes/bottom"
    assert GROUPS.category_of("watches") is None
    assert GROUPS.sources["street-voc"].labels["jacket"] == "clothes/top"


def test_a_group_that_a_source_labels_in_part_is_no_negative_there():
    voc = GROUPS.sources["street-voc"]

    assert voc.labels["hat"] == "accessory"
    assert voc.categories == {"clothes/top", "clothes/bottom", "shoes", "bag"}  # no jumpsuits, belts, scarves
    assert "accessory" in GROUPS.sources["street-ccp"].categories


def test_groups_are_apart_where_all_their_categories_are():
    apart = {category.name: category.apart for category in GROUPS.categories}

    assert apart["clothes/one-piece"] == ("clothes/one-piece",) or "clothes/bottom" in apart["clothes/one-piece"]
    assert "shoes" not in apart["clothes/top"]


def test_article_types_are_categories_with_their_own_words():
    assert len(TYPES.names) == len(TAXONOMY.article_types)
    assert TYPES.category_of("Jeans") == "jeans"
    assert TYPES.category_of("watches") is None
    with pytest.raises(KeyError):
        TYPES.category_of("신발")  # shoes: which of them is not said


def test_one_word_for_several_types_names_none_of_them():
    voc, ccp = TYPES.sources["street-voc"], TYPES.sources["street-ccp"]

    assert voc.labels["pants"] is None  # jeans are called so too
    assert voc.categories == {"dress", "shorts", "skirt"}
    assert ccp.labels["jeans"] == "jeans"
    assert ccp.labels["shoes"] is None and ccp.labels["boots"] == "boots"
    assert "boots" not in ccp.categories and {"jeans", "coat"} <= ccp.categories


def test_merged_categories_are_an_edit_of_the_file(tmp_path: Path):
    taxonomy = read_taxonomy(merged(tmp_path))

    assert "skirt" not in taxonomy.names
    assert taxonomy.category_of("skirts") == "shorts"
    one = Suggestion("street-voc", "a", "rename", "", 1.0, 0, "skirt", "dress", (0, 0, 1, 1), True)
    assert in_taxonomy([one], taxonomy)[0].label == "shorts"


def test_items_of_merged_categories_keep_their_own_boxes(tmp_path: Path):
    mask = np.zeros((60, 60), np.uint8)
    mask[0:20, 0:20], mask[40:60, 40:60] = 1, 2
    names = ("null", "hat", "belt")

    assert [name for name, _ in mask_boxes(mask, names, GROUPS.sources["street-ccp"])] == ["accessory", "accessory"]


def test_a_source_may_label_a_category_in_part(tmp_path: Path):
    file = tmp_path / "partial.toml"
    file.write_text(SHIPPED.read_text(encoding="utf-8") + '\n[partial]\nstreet-voc = ["hat"]\n', encoding="utf-8")

    voc = read_taxonomy(file).sources["street-voc"]

    assert voc.labels["hat"] == "hat" and "hat" not in voc.categories
    file.write_text(file.read_text(encoding="utf-8").replace('["hat"]', '["cap"]'), encoding="utf-8")
    with pytest.raises(DataError, match=r"partial\.street-voc names the category 'cap'"):
        read_taxonomy(file)


def test_corrections_that_a_taxonomy_does_not_know_are_refused():
    unknown = Suggestion("street-voc", "a", "remove", "", 1.0, 0, "cape-of-fame", "top", (0, 0, 1, 1), True)
    with pytest.raises(UsageError, match="'cape-of-fame', which it does not know"):
        in_taxonomy([unknown], TAXONOMY)
    with pytest.raises(UsageError, match="expected none at the level of article types"):
        in_taxonomy([unknown], TYPES)


def test_categories_can_be_left_out():
    assert "hat" not in kept_categories(TAXONOMY, "hat,belt")
    with pytest.raises(UsageError, match="--leave-out: expected some of top"):
        kept_categories(TAXONOMY, "hats")


def test_a_model_knows_its_taxonomy(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    DetectorConfig(GROUPS.names).save(run / "detector.json")

    note_taxonomy(run, "group", None)
    assert model_taxonomy(run, load_config(run / "detector.json")).names == GROUPS.names

    note_taxonomy(run, "category", merged(tmp_path))
    config = load_config(run / "detector.json")
    assert "skirt" not in model_taxonomy(run, config).names
    assert json.loads((run / "detector.json").read_text())["taxonomy"] == "taxonomy.toml"
    assert dataclasses.replace(config, level="category", taxonomy="").categories == GROUPS.names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--size", "384"], "expected HEIGHTxWIDTH", id="size"),
        pytest.param(["--size", "100x96"], "expected multiples of 32", id="odd size"),
        pytest.param(["--level", "group", "--leave-out", "hat"], "--leave-out: expected some of clothes", id="level"),
    ],
)
def test_wrong_flags_of_training_are_named(tmp_path: Path, words: list[str], message: str):
    ran = CliRunner().invoke(cli, ["train", "detector", "--out", str(tmp_path / "run"), *words])

    assert ran.exit_code == 2
    assert message in ran.stderr
