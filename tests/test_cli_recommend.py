"""The commands of strips beside a product, on a shop drawn for them."""


def test_merged_copies_name_the_others_in_json(run, store):
    plain = run("similar", "watch", "--store", store, "--k", 50, "--json").json["hits"]
    merged = run("similar", "watch", "--store", store, "--k", 50, "--merge-copies", "--json").json["hits"]
    assert len(plain) == 31 and all("copies" not in hit for hit in plain)
    assert len(merged) < len(plain)
    named = [{hit["product_id"], *hit.get("copies", ())} for hit in merged]
    assert sorted(set.union(*named)) == sorted(hit["product_id"] for hit in plain)
    assert sum({"p000", "twin"} <= names for names in named) == 1


def test_diversity_keeps_to_k_and_to_the_order_of_scores(run, store):
    scores = [
        hit["score"]
        for hit in run("similar", "p000", "--store", store, "--diversity", 0.6, "--k", 3, "--json").json["hits"]
    ]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert run("similar", "p000", "--store", store, "--diversity", 2).code == 2


def test_cheaper_says_what_the_product_costs(run, store):
    answer = run("cheaper", "p010", "--store", store, "--json").json
    assert answer["price"] == 20 and {hit["product_id"] for hit in answer["hits"]} == {"p000", "p005", "twin"}
    assert run("cheaper", "p010", "--store", store).stdout.startswith("p010: 3 similar products below 20.00\n")


def test_colours_are_listed_one_a_line(run, tmp_path):
    from fakes import draw_product, save_image

    for name, kind in (("red", "top"), ("blue", "outerwear")):
        save_image(draw_product(kind), tmp_path / f"{name}.png")
    feed = tmp_path / "feed.csv"
    feed.write_text("product_id,group_id,category,image\na,g,top,red.png\nb,g,top,blue.png\n")
    assert run("index", feed).code == 0
    answer = run("colours", "a", "--json").json
    assert answer["product_id"] == "a" and [one["colour"] for one in answer["colours"]] == ["blue"]
    assert answer["colours"][0]["same_product"] and answer["colours"][0]["hit"]["product_id"] == "b"
    assert run("colours", "a").stdout.splitlines()[1].split()[:3] == ["blue", "the", "same"]


def test_duplicates_are_reported_as_lines_json_and_a_page(run, store, tmp_path):
    duplicates = ("duplicates", "--store", store, "--min-score", 0.99999)
    printed = run(*duplicates).stdout.splitlines()
    assert printed[0].split() == ["same", "picture", "p000,", "twin"] and printed[-1].startswith("1 groups, 1 listings")
    answer = run(*duplicates, "--json").json
    assert [product["product_id"] for product in answer["products"]] == ["p000", "twin"] and answer["same_picture"]
    assert run(*duplicates, "--html", tmp_path / "twice.html").code == 0
    assert (tmp_path / "twice.html").read_text().count("<img ") == 2


def test_a_strip_as_a_page_shows_the_product_and_its_hits(run, store, tmp_path):
    assert run("similar", "p000", "--store", store, "--k", 2, "--html", tmp_path / "strip.html").code == 0
    page = (tmp_path / "strip.html").read_text()
    assert page.count("<img ") == 3 and 'class="query"' in page
