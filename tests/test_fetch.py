import socket
import threading
from pathlib import Path

import pytest
from websites import BODY, WAIT_S, Handler, answer, fetch_url, keeps_etag

from twinset import fetch
from twinset.errors import DataError, FetchError, ImageTooLarge
from twinset.fetch import fetching

pytestmark = pytest.mark.usefixtures("waits")

# --- what a URL gives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_body_arrives_whole_however_the_server_ends_the_connection(site, version, connection):
    url = site.says("/a.jpg", answer(body=BODY, Connection=connection, ETag='"1"'))
    site.server.RequestHandlerClass.protocol_version = version
    fetched = fetch_url(url)
    assert (fetched.url, fetched.data, fetched.etag) == (url, BODY, '"1"')


def test_body_of_unsaid_length_arrives_whole(site):
    assert fetch_url(site.says("/a.jpg", answer(body=BODY, said=None))).data == BODY


def test_body_in_chunks_arrives_whole(site):
    def chunks(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(BODY), 50_000):
            part = BODY[start : start + 50_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    assert fetch_url(site.says("/a.jpg", chunks)).data == BODY


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        pytest.param("/a b.jpg", "/a%20b.jpg", id="space"),
        pytest.param("/a%20b.jpg", "/a%20b.jpg", id="already-encoded"),
        pytest.param("/치마.jpg", "/%EC%B9%98%EB%A7%88.jpg", id="korean"),
        pytest.param("/a.jpg?w=10&n=ü x", "/a.jpg?w=10&n=%C3%BC%20x", id="query"),
        pytest.param("/a.jpg#part", "/a.jpg", id="fragment"),
        pytest.param("", "/", id="no-path"),
    ],
)
def test_url_is_sent_as_http_writes_it(site, written, sent):
    site.says(sent.partition("?")[0], answer(body=b"x"))
    fetch_url(site.url + written)
    ((path, headers),) = site.asked
    assert path == sent
    assert headers["Host"] == site.url.removeprefix("http://")


def test_server_that_still_has_the_callers_etag_gives_no_data(site):
    url = site.says("/a.jpg", keeps_etag(BODY, '"1"'))
    assert fetch_url(url, etag='"1"') == fetch.Fetched(url, None, '"1"')
    assert fetch_url(url, etag='"0"').data == BODY


@pytest.mark.parametrize("status", [204, 206, 304, 401, 403, 404, 410, 501])
def test_other_status_than_200_is_an_error_and_not_asked_for_again(site, status):
    with pytest.raises(FetchError, match=f"expected an image, found status {status} .*; check the URL"):
        fetch_url(site.says("/a.jpg", answer(status)))
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.jpg",
        "//host/a.jpg",
        "http:///a.jpg",
        "ftp://host/a.jpg",
        "file:///etc/passwd",
        "http://user:secret@host/a.jpg",
        "http://host:99999/a.jpg",
        "http://[::1/a.jpg",
        "http://a..b/a.jpg",
        "http://a b/a.jpg",
        "http://a\0b/a.jpg",
        "http://" + "a" * 64 + "/a.jpg",
        "http://host/\ud800.jpg",
    ],
)
def test_what_is_no_url_of_the_web_is_an_error_of_one_line(url):
    with pytest.raises(
        FetchError, match=r"^expected an http\(s\) URL with a host and no user name, found .*; check the URL$"
    ):
        fetch_url(url)


def test_host_that_does_not_exist_is_an_error_at_once(monkeypatch, waits):
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(FetchError, match=r"^nowhere\.test: expected a host that exists"):
        fetch_url("http://nowhere.test/a.jpg")
    assert waits == []


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [pytest.param(-1, id="said"), pytest.param(None, id="unsaid")])
def test_body_may_have_as_many_bytes_as_allowed_and_no_more(site, said):
    url = site.says("/a.jpg", answer(body=BODY, said=said))
    assert fetch_url(url, max_bytes=len(BODY)).data == BODY
    with pytest.raises(ImageTooLarge, match=r"expected at most 255,999 bytes, found more; give a smaller image"):
        fetch_url(url, max_bytes=len(BODY) - 1)


def test_body_said_to_be_too_large_is_not_read(site):
    with pytest.raises(ImageTooLarge):
        fetch_url(site.says("/a.jpg", answer(said=10**12)))


def test_endless_body_is_read_up_to_the_limit(site):
    def endless(handler: Handler) -> None:
        answer(said=None)(handler)
        try:
            while not site.over.is_set():
                handler.wfile.write(BODY)
        except OSError:  # the reader had enough
            pass

    with pytest.raises(ImageTooLarge):
        fetch_url(site.says("/a.jpg", endless), max_bytes=1_000_000)


def silent(handler: Handler) -> None:
    handler.site.over.wait(WAIT_S)


def stalls(handler: Handler) -> None:
    answer(body=b"half", said=8)(handler)
    handler.wfile.flush()
    handler.site.over.wait(WAIT_S)


def drips(handler: Handler) -> None:
    answer(said=10**6)(handler)
    try:
        while not handler.site.over.wait(0.01):
            handler.wfile.write(b"x")
    except OSError:  # the reader had enough
        pass


@pytest.mark.parametrize("slow", [silent, stalls, drips])
def test_time_of_an_attempt_is_limited_however_slow_the_server(site, slow):
    with pytest.raises(FetchError, match=r"found: no answer within 0\.2 s; try again later"):
        fetch_url(site.says("/a.jpg", slow), timeout_s=0.2, attempts=1)


# --- attempts ---------------------------------------------------------------------------------------------------------


def hangs_up(handler: Handler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(
    "passing",
    [
        *(pytest.param(answer(status), id=str(status)) for status in (408, 425, 429, 500, 502, 503, 504)),
        pytest.param(answer(body=b"half", said=8), id="half-a-body"),
        pytest.param(hangs_up, id="hangs-up"),
    ],
)
def test_passing_failure_is_tried_again(site, waits, passing):
    assert fetch_url(site.says("/a.jpg", passing, passing, answer(body=BODY))).data == BODY
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("failure", "found"),
    [
        pytest.param(answer(503), "status 503 Service Unavailable", id="status"),
        pytest.param(answer(body=b"half", said=8), "4 of 8 bytes", id="half-a-body"),
    ],
)
def test_failure_that_stays_is_an_error_after_the_last_attempt(site, waits, failure, found):
    url = site.says("/a.jpg", failure)
    with pytest.raises(FetchError) as error:
        fetch_url(url, attempts=2)
    assert str(error.value) == f"{url}: expected an image, found: {found}; try again later"
    assert (len(site.asked), waits) == (2, [0.5])


def test_server_that_is_not_there_is_an_error_after_the_last_attempt(waits):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchError, match=r"refused; try again later"):
        fetch_url(f"http://127.0.0.1:{port}/a.jpg")
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [("7", 7.0), ("0", 0.5), ("86400", 10.0), ("9" * 400, 10.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.5), ("-3", 0.5)],
)
def test_servers_wish_when_to_come_again_is_heard_within_limits(site, waits, retry_after, waited):
    fetch_url(site.says("/a.jpg", answer(429, Retry_After=retry_after), answer(body=b"x")))
    assert waits == [waited]


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_followed(site, status):
    site.says("/new/b.jpg", answer(body=BODY))
    fetched = fetch_url(site.says("/old/a.jpg", answer(status, Location="../new/b.jpg")))
    assert (fetched.url, fetched.data) == (f"{site.url}/new/b.jpg", BODY)


def test_five_redirects_are_followed_and_no_more(site):
    for i in range(6):
        site.says(f"/{i}", answer(302, Location=f"/{i + 1}"))
    site.says("/6", answer(body=BODY))
    assert fetch_url(f"{site.url}/1").data == BODY
    with pytest.raises(FetchError, match=r"more than 5 redirects; give the final URL"):
        fetch_url(f"{site.url}/0")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://[", "http://a:b@127.0.0.1/"])
def test_redirect_out_of_the_web_is_refused(site, location):
    with pytest.raises(FetchError, match=r"expected an http\(s\) URL"):
        fetch_url(site.says("/a.jpg", answer(302, Location=location)))


# --- many URLs --------------------------------------------------------------------------------------------------------


def fetch_all(urls: list[str], cache: Path | None = None, allow_private: bool = True) -> list[bytes | DataError]:
    with fetching(cache, allow_private) as begin:
        return [answered.result() for answered in [begin(url) for url in urls]]


def test_each_of_many_urls_has_its_answer_with_failures_among_them(site):
    good = [site.says(f"/{i}", answer(body=b"%d" % i)) for i in range(20)]
    missing = site.says("/missing", answer(404))
    urls = [*good[:10], missing, *good[10:]]
    found = fetch_all(urls)
    assert [body for body in found if isinstance(body, bytes)] == [b"%d" % i for i in range(20)]
    assert isinstance(found[10], FetchError)


def test_several_connections_are_open_at_once(site):
    together = threading.Barrier(4)

    def waits_for_the_others(handler: Handler) -> None:
        together.wait(WAIT_S)
        answer(body=b"x")(handler)

    urls = [site.says(f"/{i}", waits_for_the_others) for i in range(4)]
    assert fetch_all(urls) == [b"x"] * 4


def fetch_one(url: str, cache: Path) -> bytes:
    (body,) = fetch_all([url], cache)
    assert isinstance(body, bytes)
    return body


def test_body_with_an_etag_is_sent_once(site, tmp_path):
    url = site.says("/a.jpg", keeps_etag(BODY, '"1"'))
    assert [fetch_one(url, tmp_path / "kept") for _ in range(3)] == [BODY] * 3
    assert [headers.get("If-None-Match") for _, headers in site.asked] == [None, '"1"', '"1"']


def test_changed_body_takes_the_place_of_the_kept_one(site, tmp_path):
    url = site.says("/a.jpg", keeps_etag(b"old", '"1"'), keeps_etag(b"new", '"2"'))
    assert [fetch_one(url, tmp_path) for _ in range(3)] == [b"old", b"new", b"new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_body_without_an_etag_is_not_kept(site, tmp_path):
    fetch_one(site.says("/a.jpg", answer(body=BODY)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [0, 5, 100], ids=["empty", "half-a-head", "half-a-body"])
def test_damaged_cache_is_fetched_again(site, tmp_path, left):
    url = site.says("/a.jpg", keeps_etag(BODY, '"1"'))
    fetch_one(url, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:left])
    assert fetch_one(url, tmp_path) == BODY
    assert "If-None-Match" not in site.asked[1][1]


def test_cache_that_cannot_be_written_costs_nothing_but_the_cache(site, tmp_path, caplog):
    cache = tmp_path / "kept"
    cache.write_text("no folder")
    assert fetch_one(site.says("/a.jpg", keeps_etag(BODY, '"1"')), cache) == BODY
    assert "could not be kept" in caplog.text


def test_url_with_half_a_character_is_an_error_with_a_cache_too(tmp_path):
    (problem,) = fetch_all(["http://host/\ud800.jpg"], tmp_path, allow_private=False)
    assert isinstance(problem, FetchError)
