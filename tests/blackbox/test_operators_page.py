"""The operator's page of the running daemon: over HTTP, and in a real browser where there is one."""

from __future__ import annotations

import http.client
import json
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from lf6gateway.edges.page_events import MOST
from tests.blackbox.gateway import Gateway, S3Server, eventually
from tests.browser import CHROMIUM, Browser, browser

Make = Callable[..., Gateway]
TOKEN = "a-token-of-the-operators"
HOSTILE = "<script>alert(1)</script>&\"'\u202eecalp"
TAB, ENTER = ("Tab", 9), ("Enter", 13, "\r")


def post(daemon: Gateway, path: str, fields: dict[str, str], **headers: str) -> tuple[int, dict[str, str], bytes]:
    headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    return daemon.request("POST", path, urlencode(fields).encode(), None, daemon.admin_port, **headers)


def form_of(body: bytes) -> str:
    found = re.search(rb'name="form" value="([0-9a-f]{64})"', body)
    assert found
    return found[1].decode()


def plant(daemon: Gateway, name: str = f"{1767225600000000000:020d}-{'a' * 32}.spec") -> None:
    """Something that will go to quarantine at the next start."""
    folder = daemon.cache / "spool" / "specimen" / "2026010100"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"<script>alert(1)</script>\x1b[2J" + bytes(100))


@pytest.fixture
def daemon(gateway: Make) -> Gateway:
    return gateway().start()


# Over HTTP.


def test_each_answer_tells_the_browser_to_keep_to_it(daemon: Gateway) -> None:
    _, _, body = daemon.ask("/")
    addresses = re.findall(rb'(?:href|src)="(page[^"]*)"', body)
    assert len(addresses) == 3
    for path in ("/", "/quarantine?name=x", *(f"/{one.decode()}" for one in addresses)):
        status, headers, _ = daemon.ask(path)
        assert status == (404 if "quarantine" in path else 200)
        if status == 404:
            continue
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "immutable" in headers["cache-control"] if "page." in path else headers["cache-control"] == "no-store"
    assert daemon.ask("/", "HEAD")[2] == b"" and daemon.ask("/", "POST")[0] == 405
    assert daemon.ask("/", Host="evil.example")[0] == 421
    assert daemon.request("GET", "/")[0] == 404, "the public port has no page"


def test_a_button_needs_the_form_of_the_page(gateway: Make) -> None:
    daemon = gateway(aggregation={"usage_interval": "1h", "error_interval": "1h"}).start()
    assert daemon.put("/usage", b"{}") == 204
    form = form_of(daemon.ask("/")[2])
    for fields, headers, wanted in (
        ({}, {}, 403),
        ({"form": "0" * 64}, {}, 403),
        ({"form": form}, {"Origin": "http://evil.example"}, 403),
        ({"form": form}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"form": form}, {"Content-Type": "text/plain"}, 415),
        ({"form": form, "more": "x" * 9_000}, {}, 413),
    ):
        assert post(daemon, "/ship", fields, **headers)[0] == wanted, (fields, headers)
    assert daemon.ask("/ship")[0] == 405
    assert daemon.status()["shipped"] == []
    status, headers, _ = post(daemon, "/ship", {"form": form})
    assert (status, headers["location"]) == (303, "./?told=ship")
    eventually(lambda: daemon.status()["shipped"])
    assert b"Shipping has begun" in daemon.ask("/?told=ship")[2]
    assert daemon.stop() == 0 and "Traceback" not in daemon.log.read_text()


def test_who_has_not_shown_the_token_sees_a_form_for_it_and_nothing_else(gateway: Make) -> None:
    daemon = gateway(admin={"listen": "127.0.0.1:0", "token": TOKEN}, hostname="hidden-host").start()
    status, headers, body = daemon.ask("/")
    assert status == 401 and headers["content-type"].startswith("text/html") and b"hidden-host" not in body
    assert "cookie" not in " ".join(headers)
    for path in ("/events?hours=3", "/quarantine?name=x", "/object?stream=usage&key=x", "/status"):
        assert daemon.ask(path)[0] == 401
    assert post(daemon, "/ship", {"form": form_of(body)})[0] == 401
    status, headers, wrong = post(daemon, "/login", {"form": form_of(body), "token": TOKEN + "x"})
    assert status == 401 and b"That is not the token." in wrong and "set-cookie" not in headers
    assert post(daemon, "/login", {"token": TOKEN})[0] == 403
    status, headers, _ = post(daemon, "/login", {"form": form_of(body), "token": TOKEN})
    assert (status, headers["location"]) == (303, "./")
    cookie = headers["set-cookie"].partition(";")[0]
    assert TOKEN not in headers["set-cookie"]
    status, _, body = daemon.ask("/", Cookie=cookie)
    assert status == 200 and b"hidden-host" in body and TOKEN.encode() not in body
    assert daemon.ask("/status", Cookie=cookie)[0] == 200
    assert post(daemon, "/ship", {"form": form_of(body)})[0] == 401
    assert post(daemon, "/ship", {"form": form_of(body)}, Cookie=cookie)[0] == 303
    assert "Max-Age=0" in post(daemon, "/logout", {"form": form_of(body)}, Cookie=cookie)[1]["set-cookie"]
    # Another token ends the session, and what it looks at.
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=30)) as stream:
        stream.request("GET", "/events?hours=3", headers={"Cookie": cookie})
        answer = stream.getresponse()
        assert answer.status == 200
        daemon.config.write_text(daemon.config.read_text().replace(TOKEN, "another-token-of-them"))
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        assert not all(answer.readline() for _ in range(30)), "it ends"
    assert daemon.ask("/", Cookie=cookie)[0] == 401
    assert TOKEN not in daemon.log.read_text()


def test_streams_are_bounded_and_end_at_a_stop(daemon: Gateway) -> None:
    streams = []
    for _ in range(MOST):
        stream = http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=30)
        stream.request("GET", "/events?hours=3")
        streams.append(stream)
    answers = [stream.getresponse() for stream in streams]
    assert {answer.status for answer in answers} == {200}
    assert answers[0].getheader("content-type") == "text/event-stream"
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=30)) as one_more:
        one_more.request("GET", "/events?hours=3")
        refused = one_more.getresponse()
        assert refused.status == 503 and refused.getheader("retry-after")
        assert json.loads(refused.read())["type"].endswith("too-many-streams")
    lines = iter(answers[0].readline, b"")
    event = next(line for line in lines if line.startswith(b"data: "))
    assert {"overview", "charts", "users"} <= set(json.loads(event[6:]))
    streams.pop().close()
    eventually(lambda: daemon.request("HEAD", "/events?hours=3", user=None, port=daemon.admin_port)[0] == 200)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    assert b"event: end\n" in lines
    assert daemon.process.wait(30) == 0
    assert "Traceback" not in daemon.log.read_text()
    for stream in streams:
        stream.close()


def test_what_is_in_quarantine_is_shown_as_text_and_nothing_beside_it(gateway: Make) -> None:
    daemon = gateway()
    plant(daemon)
    daemon.start()
    name = eventually(lambda: daemon.status()["quarantine"]["items"])[0]["name"]
    assert quote(name, safe="") in daemon.ask("/")[2].decode()
    status, headers, body = daemon.ask(f"/quarantine?name={quote(name)}")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert b"<script>" not in body and b"\x1b" not in body and b"&lt;script&gt;al" in body
    for wrong in (f"{name}.why", "../lock", f"specimen/../../{name}", "", "%00", "%ff", f"{name}&name=x"):
        assert daemon.ask(f"/quarantine?name={wrong}")[0] == 404
    assert post(daemon, "/retry", {"name": name})[0] == 403
    assert post(daemon, "/retry", {"name": "../lock", "form": form_of(body)})[0] == 409
    status, headers, _ = post(daemon, "/retry", {"name": name, "form": form_of(body)})
    assert (status, headers["location"]) == (303, "./?told=retry#quarantine")
    assert b"The next start of the gateway tries it again." in daemon.ask(f"/quarantine?name={quote(name)}")[2]
    assert (daemon.cache / "quarantine" / f"{name}.retry").exists()
    assert daemon.stop() == 0
    assert "put back for another try" in daemon.start().log.read_text()


def test_objects_are_led_to_where_that_is_allowed(gateway: Make, s3: S3Server, tmp_path: Path) -> None:
    daemon = gateway(s3=s3, admin={"listen": "127.0.0.1:0", "links": True}).start()
    assert daemon.put("/specimen?uri=a%20b.html", b"<script>1</script>", "alice") == 204
    one = eventually(lambda: daemon.status()["shipped"])[0]
    query = urlencode({"stream": one["stream"], "key": one["key"]})
    assert f"object?{query}".replace("&", "&amp;").encode() in daemon.ask("/")[2]
    status, headers, _ = daemon.ask(f"/object?{query}")
    assert status == 303 and "X-Amz-Expires=60" in headers["location"] and "planted-secret" not in headers["location"]
    with urllib.request.urlopen(headers["location"]) as answer:
        assert answer.read() == b"<script>1</script>"
        assert answer.headers["Content-Disposition"] == "attachment"
    assert daemon.ask("/object?stream=usage&key=other")[0] == 404
    without = gateway("without", storage={"directory": str(tmp_path / "there")}).start()
    assert without.ask(f"/object?{query}")[0] == 403


# In a browser.


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    with browser() as found:
        yield found


def opened(chromium: Browser, daemon: Gateway, path: str = "/") -> None:
    chromium.call("Page.navigate", url="about:blank")  # the page before may still miss its gateway
    chromium.wait("location.href === 'about:blank'")
    chromium.said.clear()
    chromium.asked.clear()
    chromium.look(width=1280)
    chromium.scripts(True)
    chromium.open(f"http://127.0.0.1:{daemon.admin_port}{path}")


def test_figures_change_while_they_are_looked_at(gateway: Make, chromium: Browser) -> None:
    daemon = gateway()
    plant(daemon)
    daemon.start()
    opened(chromium, daemon)
    chromium.wait("document.getElementById('link').className === 'link on'")
    chromium.run(
        "window.same = true; document.querySelector('#settings details').open = true; document.querySelector('#received').scrollIntoView()"
    )
    assert daemon.put("/usage", b"{}", quote(HOSTILE[:25]).replace("/", "")) == 204
    assert daemon.put(f"/specimen?uri={quote(HOSTILE)}", b"x", "alice") == 204
    chromium.wait("document.querySelector('.figures .value').textContent === '2'")
    chromium.wait("document.querySelector('#shipped tbody tr td.wide') !== null")
    assert chromium.run("window.same && document.querySelector('#settings details').open")
    assert chromium.said == []
    own = f"http://127.0.0.1:{daemon.admin_port}/"
    assert chromium.asked and all(one.startswith(own) for one in chromium.asked)
    # A folder has no links, and what is in quarantine can be looked at.
    chromium.run("document.querySelector('#quarantine td a').click()")
    chromium.wait("document.querySelector('.preview pre') !== null")
    assert "73 63 72 69 70 74" in chromium.run("document.querySelector('pre').innerText")
    assert chromium.said == []


def test_it_is_used_by_keyboard(gateway: Make, chromium: Browser) -> None:
    daemon = gateway(
        admin={"listen": "127.0.0.1:0", "token": TOKEN}, aggregation={"usage_interval": "1h", "error_interval": "1h"}
    ).start()
    assert daemon.put("/usage", b"{}") == 204
    opened(chromium, daemon)
    assert chromium.run("document.activeElement.id") == "token"
    chromium.said.clear()  # the browser notes the status 401 of the form
    chromium.call("Input.insertText", text=TOKEN)
    chromium.key(*ENTER)
    chromium.wait("document.querySelector('#state') !== null")
    chromium.key(*TAB)
    assert chromium.run("document.activeElement.className") == "skip"
    assert chromium.run("document.activeElement.getBoundingClientRect().top") >= 0, "the focus can be seen"
    chromium.key(*ENTER)
    assert chromium.wait("document.activeElement.id") == "main"
    chromium.key(*TAB)
    assert chromium.run("document.activeElement.innerText") == "Ship now"
    assert chromium.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    chromium.key(*ENTER)
    chromium.wait("document.querySelector('.notice') !== null")
    eventually(
        lambda: daemon.request("GET", "/status", user=None, port=daemon.admin_port, Authorization=f"Bearer {TOKEN}")[
            2
        ].count(b"jsonl.gz")
    )
    order = chromium.run(
        "[...document.querySelectorAll('a,button,summary,input:not([type=hidden])')].every(one => one.tabIndex === 0)"
    )
    assert order, "the order of the keyboard is that of the page"
    assert chromium.run("document.querySelector('[aria-live]').getAttribute('aria-live')") == "polite"
    assert chromium.said == []


def test_without_scripts_the_figures_are_there(daemon: Gateway, chromium: Browser) -> None:
    assert daemon.put("/usage", b"{}") == 204
    eventually(lambda: daemon.status()["streams"]["usage"]["received"]["hour"]["records"] == 1)
    opened(chromium, daemon, "/")
    chromium.scripts(False)
    chromium.open(f"http://127.0.0.1:{daemon.admin_port}/?hours=24")
    assert chromium.run("document.querySelector('.figures .value').textContent") == "1"
    assert chromium.run("document.getElementById('link').textContent") == "not renewed by itself"
    assert chromium.run("document.querySelector('.asof a').getAttribute('href')") == "?hours=24"
    chromium.scripts(True)


def test_a_narrow_screen_does_not_scroll_sideways(gateway: Make, s3: S3Server, chromium: Browser) -> None:
    s3.client.delete_bucket(Bucket="insights")
    daemon = gateway(s3=s3)
    plant(daemon)
    daemon.start()
    assert daemon.put("/usage", b"{}", "u" * 128) == 204
    assert daemon.put(f"/specimen?uri={'x' * 300}", b"x", "alice") == 204
    eventually(lambda: daemon.status()["errors"] and daemon.status()["quarantine"]["count"])
    opened(chromium, daemon)
    for width, dark in ((320, False), (360, True), (768, False), (1280, True)):
        chromium.look(width=width, dark=dark, phone=width < 500)
        chromium.open(f"http://127.0.0.1:{daemon.admin_port}/")
        chromium.run("document.querySelector('details').open = true")
        assert chromium.run("document.documentElement.scrollWidth") == width
        wide = "[...document.querySelectorAll('main *')].filter(one => !one.closest('svg,.unseen,thead') && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 200))"
        assert chromium.run(wide) == []
    text = chromium.run("document.querySelector('#state').innerText")
    assert "Data are taken, and wait on disk" in text and "What to do" in text
    assert chromium.said == []
