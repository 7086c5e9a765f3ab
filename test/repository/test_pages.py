"""Whatever a page of the repository names is there: files, anchors, the pages of the site; and pages stay short."""

import pkgutil
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "models").glob("*/card.md"), ROOT / "test/data/README.md"]
NOTEBOOK = DOCS / "notebook"
LONGEST = 125  # lines
OTHERS = re.compile(r"https?:|mailto:")
NOT_TEXT = re.compile(r"^```.*?^```$|^    .*?$|<!--.*?-->", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """Without code and comments."""
    return re.sub(r"`[^`\n]*`", "`code`", NOT_TEXT.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """Those of the headings, as GitHub and mkdocs make them alike."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """Files, and anchors in them; from docs/ to docs/ alone, since the site has nothing else."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if OTHERS.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}: there is {sorted(anchors(target))}"
        assert DOCS not in page.parents or DOCS in target.parents, f"{link} is not on the site"


@pytest.mark.parametrize("page", [page for page in PAGES if NOTEBOOK not in page.parents], ids=name_of)
def test_files_that_are_named_exist(page):
    """Not of the notebook, which tells of what may be gone; `node/test_documentation.py` looks at names of tests."""
    folders = "benchmarks|scripts|test|requirements|launch"
    named = re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]*\w(?![\w./-]*\w|::)", page.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", DOCS.rglob("*.md"), ids=name_of)
def test_pages_are_short(page):
    assert len(page.read_text("utf-8").splitlines()) <= LONGEST


def test_the_site_has_all_pages():
    """Pages that are new are in mkdocs.yml, and those it names are there."""
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text("utf-8"))
    site = yaml.safe_load(text)

    def pages(entry):
        if isinstance(entry, str):
            return {entry}
        return set().union(*(pages(one) for one in (entry.values() if isinstance(entry, dict) else entry)))

    assert pages(site["nav"]) == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert site["theme"]["font"] is False  # Material would load Google's


def test_what_the_python_reference_shows_is_there():
    for name in re.findall(r"^::: ([\w.]+)$", (DOCS / "reference" / "python.md").read_text("utf-8"), re.MULTILINE):
        if name.startswith("tiae_training"):
            pytest.importorskip("torch", reason="the reference shows classes of torch, which is not installed")
        pkgutil.resolve_name(name)
