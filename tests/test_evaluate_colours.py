"""Colours and attributes against a drawn feed, worked out by hand."""

import json
from dataclasses import replace

import pytest
from fakes import FakeModels, draw_product
from test_evaluate_products import write_feed

from twinset.errors import UsageError
from twinset.evaluate import report_items
from twinset.evaluate.colours import Share, evaluate_colours
from twinset.taxonomy import default_taxonomy


class Telling(FakeModels):
    """Says of everything that it is striped and for women."""

    def describe(self, image, boxes):
        return [
            one._replace(attributes={"pattern": "striped", "gender": "women"}) for one in super().describe(image, boxes)
        ]


@pytest.fixture
def feed(tmp_path):
    return write_feed(
        tmp_path,
        ("10", "Women Striped Tee", "Tshirts", "Maroon", draw_product("top")),
        ("20", "Men Solid Tee", "Tshirts", "Navy", draw_product("top", 1)),
        ("30", "Bag", "Handbags", "Rose", draw_product("bag")),
        ("40", "Watch", "Watches", "Red", draw_product("top")),  # of no category
        ("50", "Tee", "Tshirts", "Zebra", draw_product("top")),  # no colour we know
        ("61", "Tee", "Tshirts", "Blue", draw_product("top")),  # trained on
    )


def test_the_first_colour_is_held_against_the_feeds(feed):
    figures = evaluate_colours(feed, FakeModels())
    assert (figures.n, figures.right, figures.right_among) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert figures.per_colour == {"blue": Share(1, 0), "pink": Share(1, 1), "red": Share(1, 1)}
    assert figures.confusion["blue"] == {"red": 1}
    assert [(product.product_id, found) for product, found in figures.wrong] == [("20", "red")]
    assert figures.attributes == {}


def test_attributes_are_held_against_what_titles_say(feed):
    figures = evaluate_colours(feed, Telling())
    assert figures.attributes == {"gender=women": Share(2, 0.5), "pattern=striped": Share(2, 0.5)}


def test_a_feed_without_validation_products_is_refused(tmp_path):
    feed = write_feed(tmp_path, ("11", "Tee", "Tshirts", "Red", draw_product("top")))
    with pytest.raises(UsageError, match="whose id ends in 0, found none"):
        evaluate_colours(feed, FakeModels())


def test_the_page_and_the_table_show_what_is_wrong(feed, tmp_path):
    figures = evaluate_colours(feed, Telling())
    report_items.write_colours(tmp_path / "page.html", figures)
    assert "Navy, named red" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [row[0] for row in report_items.colour_table(figures)[1]][-1] == "pattern=striped"


def test_the_command_prints_figures(feed, run, fake_models):
    assert json.loads(run("evaluate", "colours", feed.path, "--json").stdout)["n"] == 3
    assert "first colour right" in run("evaluate", "colours", feed.path).stdout


def test_the_command_reads_the_feed_by_the_models_taxonomy(run, feed, fake_models):
    shipped = default_taxonomy()
    fake_models.taxonomy = replace(shipped, type_words={**shipped.type_words, "watches": "bag"})
    assert run("evaluate", "colours", feed.path, "--json").json["n"] == 4
