"""The rendered pages, as ``make book`` leaves them in ``_build/html``."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

pytestmark = pytest.mark.built

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]

# what a browser fetches by itself, unlike a link that a reader follows
LOADED = {
    "script": "src",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "link": "href",
}
NOT_LOADED = {"canonical", "author", "search", "next", "prev", "index"}

each_page = pytest.mark.parametrize("page", PAGES)


def soup(page):
    return BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def loaded(page):
    for tag, attribute in LOADED.items():
        for element in soup(page).find_all(tag):
            if element.get(attribute) and not NOT_LOADED & set(element.get("rel", [])):
                yield element[attribute]


def test_first_page_is_there():
    assert (HTML / "index.html").is_file()


@each_page
def test_loads_nothing_from_outside(page):
    outside = [url for url in loaded(page) if urlsplit(url).scheme in {"http", "https"}]
    assert not outside
    assert not [url for url in loaded(page) if url.startswith("//")]


@each_page
def test_loads_nothing_that_is_missing(page):
    folder = (HTML / page).parent
    files = {unquote(urlsplit(url).path) for url in loaded(page) if not url.startswith("data:")}
    assert not [file for file in files if file and not (folder / file).exists()]


@each_page
def test_links_lead_somewhere(page):
    folder = (HTML / page).parent
    links = {element["href"] for element in soup(page).find("article").find_all("a", href=True)}
    local = {urlsplit(url).path for url in links if not urlsplit(url).scheme}
    assert not [file for file in local if file and not (folder / unquote(file)).exists()]


@each_page
def test_pictures_have_alternative_text(page):
    silent = [i.get("src", "")[:60] for i in soup(page).find_all("img") if not i.get("alt")]
    assert not silent


@each_page
def test_no_figure_is_missing_from_the_text(page):
    article = soup(page).find("article")
    assert "system-message" not in str(article)
    # The examples of the API may end in an error; a cell of a notebook may not.
    outputs = [output.get_text() for output in article.select(".cell_output")]
    assert not [text for text in outputs if "Traceback (most recent call last)" in text]


@each_page
def test_tables_are_tables(page):
    """A row of dashes is what is left of a Markdown table that was taken for text."""
    text = soup(page).find("article").get_text()
    assert not re.search(r"\|\s*(---|—)\s*\|", text)


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_notebooks_were_executed(page):
    article = soup(page).find("article")
    assert article.select(".cell_output"), "no output on the page: the notebook was not executed"
    assert not article.select(".tag_parameters"), "the default parameters are still on the page"
