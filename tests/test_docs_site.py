"""The documentation site: it is built without a warning, loads nothing from elsewhere, and its page of the configuration is
what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lf6gateway.values.settings import KEYS
from lf6gateway.values.settings_source import variable

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="the extra «docs» is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, ROOT / "docs" / "build_site.py", folder / "html", folder / "sources"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


class Loaded(HTMLParser):
    """What a browser fetches by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.found.append(said.get("src") or "")
        if tag == "link" and said.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.found.append(said.get("href") or "")


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert {"index.html", "quickstart.html", "configuration.html", "operations.html"} <= {page.name for page in pages}
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.found, page.name
        assert [one for one in loaded.found if re.match(r"[a-z]+:|//", one)] == [], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet
        )


def test_the_site_says_which_commands_no_test_runs(site: Path) -> None:
    text = (site / "deploy.html").read_text(encoding="utf-8")
    assert "Not run by a test: it needs an AWS account" in text


def sections(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split("\n### `")[1:]:
        key, _, rest = part.partition("`\n")
        yield key, rest


def test_the_page_of_the_configuration_is_what_the_code_says() -> None:
    check = [sys.executable, ROOT / "docs" / "settings_page.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(sections((ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    assert list(found) == list(KEYS)
    for key, text in found.items():
        assert f"`{variable(key)}`" in text
        assert re.search(r"^[A-Z`].*[.:]$", text.strip().splitlines()[0]), f"{key} is not described"
