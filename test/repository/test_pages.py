"""Whatever file of the repository a page names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]  # a notebook tells of what may be gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|mailto:|#", link)]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """Names of tests (`launch/test_x.py::test_y`) count from `test`: `node/test_documentation.py` looks at those."""
    folders = "benchmarks|scripts|test|requirements|launch"
    named = re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]*\w(?![\w./-]*\w|::)", page.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
