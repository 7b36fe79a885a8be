"""Builds the documentation site into ``build/docs``. Owns the order of its pages and what is done to them on the way:
links out of ``docs/`` are bent, and commands that no test runs say so. A page that has no place, a link to nowhere and
every other warning is an error.

    python docs/build_site.py [FOLDER [FOLDER-FOR-WHAT-SPHINX-IS-GIVEN]]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

NAVIGATION: Final = (
    ("Begin", ("quickstart", "migration", "faq")),
    (
        "Run",
        (
            "configuration",
            "deploy",
            "operations",
            "page",
            "watching",
            "status",
            "metrics",
            "spool",
            "scaling",
            "security-auth",
        ),
    ),
    ("Send and read", ("http", "client", "reading", "embedding")),
    ("Know", ("reliability", "performance", "security", "s3-compatibility", "architecture")),
    ("The project", ("contributing", "changelog", "reporting")),
)
"""The pages under their captions, in order."""
FROM_THE_ROOT: Final = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
}
"""Documents of the project's root, and their names on the site."""

_LINK: Final = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_NOT_RUN: Final = re.compile(r"^(?P<indent> *)<!--\s+not run:\s+(?P<reason>.*?)\s*-->\n", re.MULTILINE | re.DOTALL)


def lay_out(sources: Path) -> None:
    """Write the sources that Sphinx is given, all in one folder."""
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "conf.py", sources)
    for document in sorted((ROOT / "docs").glob("*.md")):
        _write(document, sources / document.name)
    for name, page in FROM_THE_ROOT.items():
        _write(ROOT / name, sources / page)
    with (sources / "index.md").open("a", encoding="utf-8") as index:
        for caption, pages in NAVIGATION:
            index.write("\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""]))


def _write(document: Path, page: Path) -> None:
    text = document.read_text(encoding="utf-8")
    text = _NOT_RUN.sub(lambda found: f"{found['indent']}*Not run by a test: {found['reason']}.*\n\n", text)
    text = _LINK.sub(lambda found: _bent(found, document, page.parent), text)
    page.write_text(text, encoding="utf-8")


def _bent(link: re.Match[str], document: Path, sources: Path) -> str:
    """A link as it is on the site: pages stay links, files are offered for download, folders are named."""
    path, _, anchor = link["target"].partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return link[0]
    target = (document.parent / path).resolve()
    inside = target.relative_to(ROOT)
    behind = f"#{anchor}" if anchor else ""
    if inside.parent == Path("docs") and target.suffix == ".md":
        return f"[{link['text']}]({target.name}{behind})"
    if str(inside) == "README.md":
        return f"[{link['text']}](index.md)"
    if str(inside) in FROM_THE_ROOT:
        return f"[{link['text']}]({FROM_THE_ROOT[str(inside)]}{behind})"
    if target.is_dir():
        return f"{link['text']} (`{inside}`)" if str(inside) != link["text"].strip("/") else f"`{inside}`"
    copy = sources / inside
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(target, copy)
    return f"[{link['text']}]({inside})"


def main(folder: str = str(ROOT / "build" / "docs"), sources: str = str(ROOT / "build" / "docs-sources")) -> int:
    """Build the site; 0 if nothing at all was wrong."""
    lay_out(Path(sources))
    shutil.rmtree(folder, ignore_errors=True)
    # -W: a warning is an error; -E: nothing of an earlier build is believed.
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", "-d", f"{sources}.trees"]
    return subprocess.run([*command, sources, folder], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
