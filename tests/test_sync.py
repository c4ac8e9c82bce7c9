"""`twinset sync`: exports of shop systems as they are, and a store that follows a feed."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from conftest import stored, write_feed
from fakes import FakeModels, make_feed

from twinset.data.exports import FORMATS, Export, on_sale, read_export
from twinset.errors import FeedError
from twinset.indexing import index_feed
from twinset.store import Key, open_store
from twinset.taxonomy import default_taxonomy


def read(path, kind, **more):
    return read_export(Export(path, **more), kind, default_taxonomy())


def by_id(feed):
    assert feed.failed == []
    return {product.product_id: product for product in feed.products}


def save(folder, text, name):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


# --- Google Merchant Center -------------------------------------------------------------------------------------------

GOOGLE_TSV = """\
id\ttitle\tdescription\tlink\timage link\tadditional image link\tavailability\tprice\tsale price\t\
google product category\tproduct type\tbrand\titem group id\tcolor\tsize
T1-R\tTee\tSoft\thttps://s.example/t1\thttps://s.example/1.jpg\thttps://s.example/2.jpg,https://s.example/3.jpg\t\
in stock\t15.00 USD\t9.99 USD\tApparel & Accessories > Clothing > Shirts & Tops\tWomen > Summer\tAcme\tT1\tRed\tM
B\tBag\t\thttps://s.example/b\thttps://s.example/b.jpg\t\tout_of_stock\t1,299.50 EUR\t\t3032\t\t\t\t\t
"""


def test_a_google_table_is_read_as_it_is(tmp_path):
    found = by_id(read(save(tmp_path, GOOGLE_TSV, "feed.txt"), "google"))
    tee, bag = found["T1-R"], found["B"]
    assert tee.images == tuple(f"https://s.example/{no}.jpg" for no in (1, 2, 3)) and tee.group_id == "T1"
    assert (tee.category, tee.article_type, tee.price, tee.sale_price, tee.currency) == (
        "top",
        "Summer",
        15,
        9.99,
        "USD",
    )
    assert tee.url == "https://s.example/t1" and tee.tags == {"brand": "Acme", "colour": "Red", "size": "M"}
    assert (bag.category, bag.in_stock, bag.price, bag.sale_price, bag.group_id) == ("bag", False, 1299.5, None, None)


@pytest.mark.parametrize(
    ("written", "price"), [("12,50", 12.5), ("1.299,00", 1299), ("1,299.00", 1299), ("1,299", 1299), ("1299.5", 1299.5)]
)
def test_a_google_price_is_read_in_either_way_of_writing_it(tmp_path, written, price):
    text = GOOGLE_TSV.replace("1,299.50", written)
    assert by_id(read(save(tmp_path, text, "feed.txt"), "google"))["B"].price == price


GOOGLE_XML = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<item><g:id>7</g:id><title>Red &amp; white dress</title><link>https://s.example/7</link>
<g:image_link>https://s.example/7.jpg</g:image_link><g:additional_image_link>https://s.example/8.jpg</g:additional_image_link>
<g:additional_image_link>https://s.example/9.jpg</g:additional_image_link><g:availability>preorder</g:availability>
<g:price>20 EUR</g:price><g:sale_price>5 EUR</g:sale_price>
<g:sale_price_effective_date>2016-02-24T11:07+0100/2016-02-29T23:07+0100</g:sale_price_effective_date>
<g:google_product_category>2271</g:google_product_category></item>
<item><g:id>8</g:id></item></channel></rss>
"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><entry><g:id>7</g:id>
<title>Dress</title><link href="https://s.example/7"/><g:image_link>https://s.example/7.jpg</g:image_link>
<g:product_type>Dresses</g:product_type></entry></feed>"""


def test_google_xml_is_read_as_it_is(tmp_path):
    feed = read(save(tmp_path, GOOGLE_XML, "feed.xml"), "google")
    (dress,) = feed.products
    assert (
        dress.images == tuple(f"https://s.example/{no}.jpg" for no in (7, 8, 9)) and dress.title == "Red & white dress"
    )
    assert (dress.price, dress.sale_price, dress.currency, dress.category, dress.in_stock) == (
        20,
        None,
        "EUR",
        "dress",
        True,
    )
    assert [(row.line, row.product_id, row.reason) for row in feed.failed] == [
        (2, "8", "expected an image, found none")
    ]
    (dress,) = read(save(tmp_path, ATOM, "atom.xml"), "google").products
    assert (dress.url, dress.category) == ("https://s.example/7", "dress")


def test_xml_that_breaks_off_is_one_line(tmp_path):
    with pytest.raises(FeedError, match="breaks off"):
        read(save(tmp_path, GOOGLE_XML[:600], "feed.xml"), "google")


@pytest.mark.parametrize(
    ("start", "end", "now"),
    [
        ("", "", True),
        ("2026-01-01", "", True),
        ("2026-06-01", "", False),
        ("", "2026-01-01T00:00+0100", False),
        ("x", "", True),
    ],
)
def test_a_sale_goes_on_between_its_dates(start, end, now):
    assert on_sale(start, end, datetime(2026, 3, 1, tzinfo=UTC)) == now


# --- Shopify ----------------------------------------------------------------------------------------------------------

SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,"
    "Option2 Value,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,"
    "Variant Compare At Price,Image Src,Image Position,Variant Image,Status\n"
    'top,Varsity Top,"Soft, ""new""\nline",Acme,,Tees,"women, new",true,Colour,Red,Size,S,,shopify,0,deny,50,60,'
    "https://cdn.example/1.jpg,1,,active\n"
    "top,,,,,,,,,Red,,M,,shopify,3,deny,60,,https://cdn.example/2.jpg,2,,\n"
    "top,,,,,,,,,Blue,,S,'007,shopify,0,continue,60,,,,https://cdn.example/blue.jpg,\n"
    "top,,,,,,,,,,,,,,,,,,https://cdn.example/3.jpg,3,,\n"
    "bag,Bag,,Acme,Apparel & Accessories > Handbags,,,TRUE,Title,Default Title,,,,,,deny,30,,https://cdn.example/b.jpg,1,,active\n"
    "draft,Draft,,Acme,,Tees,,true,Title,Default Title,,,,,,deny,30,,https://cdn.example/d.jpg,1,,draft\n"
    "hidden,Hidden,,Acme,,Tees,,false,Title,Default Title,,,,,,deny,30,,https://cdn.example/d.jpg,1,,active\n"
)
NEWER = (
    "Title,URL handle,Vendor,Type,Published on online store,Status,SKU,Option1 name,Option1 value,Price,"
    "Compare-at price,Inventory tracker,Inventory quantity,Continue selling when out of stock,Product image URL,"
    "Image position,Variant image URL\n"
    "Tee,tee,Acme,Tees,TRUE,Active,T-1,Size,S,10,20,shopify,0,FALSE,https://cdn.example/t.jpg,1,\n"
    ",tee,,,,,T-2,,M,10,,shopify,0,TRUE,,,\n"
    ",tee,,,,,T-3,,L,10,,,0,FALSE,,,\n"
)


def test_shopifys_products_are_read_as_they_are(tmp_path):
    found = by_id(
        read(save(tmp_path, SHOPIFY, "products_export.csv"), "shopify", currency="EUR", site="https://s.example/")
    )
    assert list(found) == ["top-Red-S", "top-Red-M", "007", "bag"]
    small, middle, blue, bag = found.values()
    assert small.images == tuple(f"https://cdn.example/{no}.jpg" for no in (1, 2, 3))
    assert middle.images == small.images[:1] and blue.images == ("https://cdn.example/blue.jpg",)
    assert (small.price, small.sale_price, middle.price, middle.sale_price) == (60, 50, 60, None)
    assert [product.in_stock for product in found.values()] == [False, True, True, True]
    assert {product.group_id for product in (small, middle, blue)} == {"top"} and bag.group_id is None
    assert (small.title, bag.title) == ("Varsity Top (Red, S)", "Bag")
    assert small.tags == {"brand": "Acme", "tags": "women, new", "colour": "Red", "size": "S"} and bag.tags == {
        "brand": "Acme"
    }
    assert (small.category, bag.category, bag.currency, bag.url) == (
        "top",
        "bag",
        "EUR",
        "https://s.example/products/bag",
    )


def test_shopifys_newer_header_is_read_too(tmp_path):
    found = by_id(read(save(tmp_path, NEWER, "products_export.csv"), "shopify"))
    assert [(p.product_id, p.in_stock, p.price, p.sale_price, p.group_id) for p in found.values()] == [
        ("T-1", False, 20, 10, "tee"),
        ("T-2", True, 10, None, "tee"),
        ("T-3", True, 10, None, "tee"),
    ]
    assert found["T-2"].images == ("https://cdn.example/t.jpg",) and found["T-2"].tags == {"brand": "Acme", "size": "M"}


# --- WooCommerce ------------------------------------------------------------------------------------------------------

WOO_COLUMNS = (
    *("ID", "Type", "SKU", "Name", "Published", "Visibility in catalog", "In stock?", "Sale price", "Regular price"),
    *("Categories", "Images", "Parent", "Attribute 1 name", "Attribute 1 value(s)", "Date sale price ends"),
)
TEE_IMAGES = "https://w.example/1.jpg, https://w.example/2.jpg"
WOO_ROWS = [
    (
        "44",
        "variable",
        "tee",
        "Tee",
        "1",
        "visible",
        "1",
        "",
        "",
        "Clothing > Tshirts, Sale",
        TEE_IMAGES,
        "",
        "Color",
        "Red, Blue",
        "",
    ),
    (
        "46",
        "simple",
        "",
        "Hat",
        "1",
        "visible",
        "backorder",
        "15",
        "20",
        "Hats",
        "https://w.example/h.jpg",
        "",
        "",
        "",
        "2020-01-01",
    ),
    (
        "73",
        "simple, virtual",
        "",
        "Gift",
        "-1",
        "visible",
        "1",
        "",
        "5",
        "Hats",
        "https://w.example/g.jpg",
        "",
        "",
        "",
        "",
    ),
    ("64", "simple", "", "Secret", "1", "hidden", "1", "", "5", "Hats", "https://w.example/g.jpg", "", "", "", ""),
    ("76", "variation", "tee-red", "Tee - Red", "1", "visible", "1", "8", "10", "", "", "tee", "Color", "Red", ""),
    (
        "77",
        "variation",
        "",
        "Tee - Blue",
        "1",
        "visible",
        "0",
        "",
        "10",
        "",
        "https://w.example/b.jpg",
        "id:44",
        "Color",
        "Blue",
        "",
    ),
    ("87", "grouped", "", "Both", "1", "visible", "1", "", "", "Hats", "https://w.example/g.jpg", "", "", "", ""),
]


def test_woocommerces_products_are_read_as_they_are(tmp_path):
    text = io.StringIO()
    csv.writer(text).writerows([WOO_COLUMNS, *WOO_ROWS])
    found = by_id(read(save(tmp_path, text.getvalue(), "wc.csv"), "woocommerce", site="https://w.example"))
    assert list(found) == ["46", "76", "77"]
    hat, red, blue = found.values()
    assert (hat.category, hat.price, hat.sale_price, hat.in_stock) == ("hat", 20, None, True)
    assert red.images == ("https://w.example/1.jpg", "https://w.example/2.jpg") and blue.images == (
        "https://w.example/b.jpg",
    )
    assert (red.category, red.article_type, red.price, red.sale_price) == ("top", "Tshirts", 10, 8)
    assert (red.group_id, blue.group_id, hat.group_id) == ("44", "44", None) and not blue.in_stock
    assert red.tags == {"sku": "tee-red", "colour": "Red"} and red.url == "https://w.example/?p=76"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "<html>"])
def test_a_file_of_another_kind_is_one_line(tmp_path, kind, text):
    with pytest.raises(FeedError) as caught:
        if not read(save(tmp_path, text, "feed.csv"), kind).products:
            raise FeedError("expected products, found none")
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)


# --- following a feed -------------------------------------------------------------------------------------------------


def counts(ran):
    return {name: ran.json[name] for name in ("added", "changed", "unchanged", "removed")}


def test_a_store_follows_its_feed(run, tmp_path, fake_models):
    feed = make_feed(tmp_path, 10)
    assert counts(run("sync", feed, "--json")) == {"added": 10, "changed": 0, "unchanged": 0, "removed": 0}
    lines = feed.read_text().splitlines()
    lines[3] = lines[3].replace("EUR", "USD")
    feed.write_text("\n".join([*lines[:-2], lines[-1].replace("p009", "new", 1)]) + "\n")
    described = fake_models.described
    assert counts(run("sync", feed, "--json")) == {"added": 1, "changed": 1, "unchanged": 7, "removed": 2}
    assert fake_models.described == described + 1 and stored(tmp_path, "p002").currency == "USD"
    store = open_store(tmp_path / "twinset-store")
    assert {key.product_id for key in store.fingerprints()} == {*(f"p{i:03}" for i in range(8)), "new"}


def test_a_feed_that_lost_too_much_changes_nothing_until_told(run, tmp_path):
    feed = make_feed(tmp_path, 10)
    run("sync", feed)
    feed.write_text("\n".join(feed.read_text().replace("EUR", "USD").splitlines()[:8]) + "\n")
    ran = run("sync", feed)
    assert ran.code == 1 and "3 missing, 30% where 20% are allowed" in ran.stderr and "--yes" in ran.stderr
    assert open_store(tmp_path / "twinset-store").count() == 10 and stored(tmp_path, "p000").currency == "EUR"
    assert run("sync", feed, "--dry-run", "--yes").stdout.split() == ["p007", "p008", "p009"]
    assert open_store(tmp_path / "twinset-store").count() == 10
    assert counts(run("sync", feed, "--max-loss", 0.3, "--json")) == {
        "added": 0,
        "changed": 7,
        "unchanged": 0,
        "removed": 3,
    }
    feed.write_text(feed.read_text().splitlines()[0] + "\n")
    assert run("sync", feed).code == 1
    assert counts(run("sync", feed, "--yes", "--json"))["removed"] == 7


def test_a_row_that_cannot_be_read_removes_nothing(run, tmp_path):
    feed = make_feed(tmp_path, 4)
    run("sync", feed)
    feed.write_text(feed.read_text().replace("10,EUR", "cheap,EUR"))
    (tmp_path / "images" / "p001.png").unlink()
    ran = run("sync", feed, "--json", "--max-loss", 0)
    assert counts(ran) == {"added": 0, "changed": 0, "unchanged": 2, "removed": 0}
    assert [row["product_id"] for row in ran.json["failed"]] == ["p000", "p001"]


@pytest.mark.parametrize(
    "broken", [b'{"product_id": "b", "image": "images/p001.pn', b'{"image": "images/p001.png", "title": "caf\xe9"}']
)
def test_where_a_rows_id_cannot_be_read_nothing_is_removed(run, tmp_path, broken):
    make_feed(tmp_path, 3)
    rows = [
        b'{"product_id": "%s", "image": "images/p00%d.png"}' % (name, i) for i, name in enumerate((b"a", b"b", b"c"))
    ]
    feed = tmp_path / "feed.jsonl"
    feed.write_bytes(b"\n".join(rows))
    assert counts(run("sync", feed, "--json"))["added"] == 3
    feed.write_bytes(b"\n".join([rows[0], broken]))  # b is lost, and c is gone
    dry = run("sync", feed, "--yes", "--dry-run")
    assert dry.stdout == "" and "2 products it lacks are not removed" in dry.stderr
    ran = run("sync", feed, "--yes", "--json")
    assert counts(ran)["removed"] == 0 and ran.json["unsure"] == 2 and "are not removed" in ran.stderr
    feed.write_bytes(b"\n".join(rows[:2]))
    assert run("sync", feed, "--yes", "--dry-run", "--json").json == {"product_id": "c", "shop": "default"}
    assert counts(run("sync", feed, "--yes", "--json"))["removed"] == 1


def test_a_row_in_another_encoding_is_told_by_its_id(run, tmp_path):
    make_feed(tmp_path, 1)
    feed = tmp_path / "feed.jsonl"
    feed.write_bytes(
        b'{"product_id": "a", "image": "images/p000.png", "title": "caf\xe9"}\n'
        b'{"product_id": "b", "image": "images/p000.png", "title": "bad \\ud800 title"}\n'
        b'{"product_id": "c", "image": "images/p000.png", "title": "caf\\u00e9"}\n'
    )
    ran = run("index", feed, "--json")
    assert ran.code == 0 and ran.json["indexed"] == 1 and stored(tmp_path, "c").title == "café"
    assert [row["product_id"] for row in ran.json["failed"]] == ["a", "b"]


def test_a_quote_that_does_not_close_fails_its_row_alone(run, tmp_path):
    make_feed(tmp_path, 4)
    lines = ["product_id,title,image", *(f'p{i},"t {i}",images/p00{i}.png' for i in range(4))]
    lines[2] = lines[2].replace('t 1"', "t 1")
    ran = run("index", write_feed(tmp_path, "\n".join(lines) + "\n"), "--json")
    assert ran.json["indexed"] == 3 and [row["line"] for row in ran.json["failed"]] == [3]
    assert stored(tmp_path, "p2").title == "t 2"


@pytest.mark.parametrize(
    "head", ["\nproduct_id;image", "sep=;\nproduct_id;image", "product_id;image;;", "SEP=|\r\nproduct_id|image"]
)
def test_spreadsheets_headers_are_read(run, tmp_path, head):
    make_feed(tmp_path, 1)
    delimiter = "|" if "|" in head else ";"
    row = delimiter.join(["a", "images/p000.png", *([""] * (2 if head.endswith(";;") else 0))])
    assert run("index", write_feed(tmp_path, f"{head}\n{row}\n"), "--json").json["indexed"] == 1
    assert stored(tmp_path, "a").tags == {}


def test_one_product_of_a_shop_and_of_none_is_a_duplicate(run, tmp_path):
    feed = write_feed(tmp_path, "product_id,image,shop\n1,images/a.png,\n1,images/a.png,one\n")
    ran = run("sync", feed, "--shop", "one", "--json")
    assert ran.code == 0 and ran.json["added"] == 1
    assert [(row["line"], row["reason"]) for row in ran.json["failed"]] == [
        (3, "duplicate product_id, first on line 2")
    ]


@pytest.mark.parametrize("share", ["nan", "1.5", "-1"])
def test_the_share_that_may_be_lost_is_a_share(run, tmp_path, share):
    feed = make_feed(tmp_path, 2)
    run("sync", feed)
    assert run("sync", feed, "--max-loss", share).code == 2


def test_any_table_with_titles_is_not_shopifys(run, tmp_path):
    table = save(tmp_path, "title,price\nTee,10\n", "table.csv")
    with pytest.raises(FeedError, match="handle or url handle"):
        read(table, "shopify")
    export = save(tmp_path, "Handle,Title,Image Src,Variant Price\n,Tee,https://s.example/1.jpg,10\n", "e.csv")
    assert [row.reason for row in read(export, "shopify").failed] == ["expected a handle, found none"]


@pytest.mark.parametrize("encoding", ["foo", "gb2312"])
def test_xml_of_an_encoding_that_cannot_be_read_is_one_line(tmp_path, encoding):
    file = save(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?><rss></rss>', "feed.xml")
    with pytest.raises(FeedError, match="expected XML"):
        read(file, "google")


def test_shops_of_one_store_follow_their_own_feeds(run, tmp_path, street):
    one, two = make_feed(tmp_path / "one", 10), make_feed(tmp_path / "two", 4)
    run("sync", one, "--shop", "one")
    assert counts(run("sync", two, "--shop", "two", "--json"))["added"] == 4
    assert counts(run("sync", one, "--shop", "one", "--json"))["unchanged"] == 10
    store = open_store(tmp_path / "twinset-store")
    assert store.count() == 14 and Key("two", "p003") in store.fingerprints()
    hits = run("search", street, "--json", "--shop", "two", "--category", "top", "--facet", "shop").json["items"][0]
    assert {hit["shop"] for hit in hits["hits"]} == {"two"} and [v["value"] for v in hits["facets"][0]["values"]] == [
        "two"
    ]
    assert {hit["shop"] for hit in run("similar", "p000", "--shop", "one", "--json").json["hits"]} == {"one"}


def test_another_shops_rows_are_told_of_and_left_alone(run, tmp_path):
    feed = write_feed(tmp_path, "product_id,image,shop\n1,images/a.png,one\n2,images/b.png,two\n3,images/c.png,\n")
    ran = run("sync", feed, "--shop", "one", "--json")
    assert ran.json["added"] == 2 and [row["product_id"] for row in ran.json["failed"]] == ["2"]
    assert "--shop" in ran.json["failed"][0]["reason"]


def test_variants_that_share_pictures_are_described_once_and_are_one_hit(run, tmp_path, fake_models, street):
    rows = [("1", "a", "true", 30), ("2", "a", "false", 20), ("3", "b", "false", None)]
    write_feed(tmp_path, "")
    feed = tmp_path / "feed.jsonl"
    feed.write_text(
        "".join(
            json.dumps(
                {
                    "product_id": no,
                    "images": [f"images/{image}.png", "images/c.png"],
                    "category": "top",
                    "group_id": "g",
                }
                | {"in_stock": there, "price": 40, "sale_price": sale}
            )
            + "\n"
            for no, image, there, sale in rows
        )
    )
    assert counts(run("sync", feed, "--json"))["added"] == 3 and fake_models.described == 3
    (hit,) = run("search", street, "--json", "--category", "top").json["items"][0]["hits"]
    assert (hit["variants"], hit["in_stock"], hit["group_id"]) == (3, True, "g")
    (hit,) = run("search", street, "--json", "--category", "top", "--where", "in_stock=false").json["items"][0]["hits"]
    assert (hit["product_id"], hit["variants"], hit["in_stock"], hit["sale_price"]) == ("2", 2, False, 20)


def test_syncing_goes_to_either_kind_of_store(run, tmp_path, new_uri):
    feed, uri = make_feed(tmp_path / "feed", 6), new_uri(tmp_path)
    assert counts(run("sync", feed, "--store", uri, "--json"))["added"] == 6
    feed.write_text("\n".join(feed.read_text().splitlines()[:-1]) + "\n")
    assert counts(run("sync", feed, "--store", uri, "--json")) == {
        "added": 0,
        "changed": 0,
        "unchanged": 5,
        "removed": 1,
    }
    assert open_store(uri).count() == 5


def test_what_index_stored_sync_finds_unchanged(run, tmp_path):
    feed = make_feed(tmp_path, 5)
    index_feed(feed, tmp_path / "twinset-store", FakeModels())
    assert counts(run("sync", feed, "--json"))["unchanged"] == 5
