"""Exports of shop systems with rows that can't be read: each fails alone, and what it said is not guessed."""

import pytest
from fakes import make_feed
from test_sync import SHOPIFY, read, save

from twinset.errors import FeedError

NO_UTF8 = "expected UTF-8, found other bytes; save the feed as UTF-8"
ROWS = "1,café,{0}/images/p000.png,Hats\n2,tea,{0}/images/p000.png,Hats\n"
GOOGLE = "id,title,image link,product type\n" + ROWS
WOO = "ID,Name,Images,Categories,Type\n" + ROWS.replace("Hats", "Hats,simple")
SHOP = "Handle,Title,Image Src,Type,Variant Price\n" + ROWS.replace("Hats", "Hats,5")


@pytest.mark.parametrize(("kind", "text"), [("google", GOOGLE), ("woocommerce", WOO), ("shopify", SHOP)])
def test_an_exports_row_in_another_encoding_fails_alone(run, tmp_path, kind, text):
    make_feed(tmp_path, 1)
    export = tmp_path / "export.csv"
    export.write_bytes(text.format(tmp_path).encode("cp1252"))
    ran = run("sync", export, "--format", kind, "--json")
    assert ran.code == 0 and ran.json["added"] == 1
    assert [(row["line"], row["reason"]) for row in ran.json["failed"]] == [(2, NO_UTF8)]


@pytest.mark.parametrize("head", [b"farbe gr\xf6\xdfe", b'"open'])
def test_an_exports_header_that_cannot_be_read_is_one_line(tmp_path, head):
    export = tmp_path / "export.csv"
    export.write_bytes(b"id,title,image link," + head + b"\n1,tea,https://s.example/1.jpg,\n")
    with pytest.raises(FeedError, match=r"export.csv:1: expected a header of column names in UTF-8"):
        read(export, "google")


EXTRA = ',"one cell too many"\n'


def test_a_bad_row_does_not_split_shopifys_product(tmp_path):
    row = "top,,,,,,,,,Red,,M,,shopify,3,deny,60,,https://cdn.example/2.jpg,2,,\n"
    assert row in SHOPIFY
    feed = read(save(tmp_path, SHOPIFY.replace(row, row[:-1] + EXTRA), "products_export.csv"), "shopify")
    assert [row.line for row in feed.failed] == [4]
    small, blue = [product for product in feed.products if product.group_id]
    assert small.images == ("https://cdn.example/1.jpg", "https://cdn.example/3.jpg")
    assert blue.title == "Varsity Top (Blue, S)" and blue.category == "top"


def test_shopifys_product_without_its_first_row_is_not_shown(tmp_path):
    lines = SHOPIFY.splitlines(keepends=True)
    draft = next(line for line in lines if line.startswith("draft"))
    second = "draft,,,,,,,,,Red,,,,,,deny,30,,https://cdn.example/2.jpg,2,,\n"
    export = save(tmp_path, lines[0] + draft[:-1] + EXTRA + second, "products_export.csv")
    feed = read(export, "shopify")
    assert feed.products == [] and [row.line for row in feed.failed] == [2, 3]
    assert "expected a first row of 'draft' with its title" in feed.failed[1].reason
