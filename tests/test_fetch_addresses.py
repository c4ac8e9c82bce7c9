"""Images are fetched from public addresses only, whatever names and redirects say."""

import socket
from collections.abc import Callable, Sequence

import pytest
from websites import BODY, Site, answer, fetch_url

from twinset.errors import FetchError
from twinset.fetch import is_public

pytestmark = pytest.mark.usefixtures("waits")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_address_anybody_may_reach_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.8.8.8", id="loopback-net"),
        pytest.param("10.0.0.1", id="private-10"),
        pytest.param("172.16.0.1", id="private-172"),
        pytest.param("192.168.1.1", id="private-192"),
        pytest.param("169.254.169.254", id="cloud-metadata"),
        pytest.param("100.64.0.1", id="carrier"),
        pytest.param("0.0.0.0", id="this-host"),
        pytest.param("0.1.2.3", id="this-net"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarks"),
        pytest.param("::", id="v6-any"),
        pytest.param("::1", id="v6-loopback"),
        pytest.param("::127.0.0.1", id="v6-compatible"),
        pytest.param("::ffff:127.0.0.1", id="v6-mapped"),
        pytest.param("2002:7f00:1::", id="6to4-loopback"),
        pytest.param("64:ff9b::a00:1", id="nat64-private"),
        pytest.param("64:ff9b:1::1", id="nat64-local"),
        pytest.param("2001:0:7f00:1::", id="teredo"),
        pytest.param("fe80::1", id="v6-link-local"),
        pytest.param("fe80::1%eth0", id="v6-scope"),
        pytest.param("fc00::1", id="v6-unique-local"),
        pytest.param("fec0::1", id="v6-site-local"),
        pytest.param("ff02::1", id="v6-multicast"),
    ],
)
def test_address_not_anybody_may_reach_is_not_public(address):
    assert not is_public(address)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, site: Site) -> Callable[..., list[str]]:
    """Gives hosts addresses; a connection to any of them but "2606::dead" reaches the site. Returns those asked for."""
    connect, look_up = socket.create_connection, socket.getaddrinfo
    connected: list[str] = []

    def set_hosts(known: dict[str, Sequence[str]]) -> list[str]:
        def getaddrinfo(host: bytes | str, port: int, *args: object, **kwargs: object) -> list[tuple[object, ...]]:
            name = host.decode() if isinstance(host, bytes) else host
            if name not in known:
                return look_up(host, port, *args, **kwargs)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[name]]

        def create_connection(address: tuple[str, int], timeout: float) -> socket.socket:
            connected.append(address[0])
            if address[0] == "2606::dead":
                raise OSError("Network is unreachable")
            return connect(site.server.server_address, timeout)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", create_connection)
        return connected

    return set_hosts


def test_connection_goes_to_the_very_address_that_was_checked(site, hosts):
    connected = hosts({"shop.test": ["93.184.215.14"]})
    site.says("/a.jpg", answer(body=BODY))
    assert fetch_url("http://shop.test/a.jpg", allow_private=False).data == BODY
    assert connected == ["93.184.215.14"]
    assert site.asked[0][1]["Host"] == "shop.test"


def test_address_that_does_not_answer_is_passed_over_for_the_next(site, hosts):
    connected = hosts({"shop.test": ["2606::dead", "93.184.215.14"]})
    site.says("/a.jpg", answer(body=BODY))
    assert fetch_url("http://shop.test/a.jpg", allow_private=False, attempts=1).data == BODY
    assert connected == ["2606::dead", "93.184.215.14"]


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(["10.0.0.7"], id="private"),
        pytest.param(["93.184.215.14", "10.0.0.7"], id="one-of-two"),
        pytest.param(["::ffff:10.0.0.7"], id="inside-ipv6"),
    ],
)
def test_host_with_a_private_address_is_not_connected_to(hosts, addresses):
    connected = hosts({"shop.test": addresses})
    with pytest.raises(FetchError, match=r"^shop\.test: expected a public host, found a private or reserved address"):
        fetch_url("http://shop.test/a.jpg", allow_private=False)
    assert connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "１２７.0.0.1"])
def test_this_machine_is_refused_however_it_is_written(host):
    with pytest.raises(FetchError, match="found a private or reserved address"):
        fetch_url(f"http://{host}:9/a.jpg", allow_private=False)


@pytest.mark.parametrize("location", ["http://inside.test/secret", "http://10.0.0.7/secret", "//inside.test/secret"])
def test_redirect_to_a_private_address_is_refused(site, hosts, location):
    connected = hosts({"shop.test": ["93.184.215.14"], "inside.test": ["10.0.0.7"]})
    site.says("/a.jpg", answer(302, Location=location))
    with pytest.raises(FetchError, match="found a private or reserved address; it is not fetched"):
        fetch_url("http://shop.test/a.jpg", allow_private=False)
    assert (connected, site.paths) == (["93.184.215.14"], ["/a.jpg"])
