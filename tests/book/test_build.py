"""Running notebooks and rendering pages, on a book of three pages."""

import json
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from hepgmm.book import build_html, execute_notebooks

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = 'preset = "quick"\nseed = None\ndata = {}\nmixture = {}\noverlay = {}\ntraining = {}'


def write_notebook(path, code):
    figure = "import matplotlib.pyplot as plt\nplt.plot([0, 1]);"
    cells = [
        nbformat.v4.new_markdown_cell(f"# {path.stem}\n\nThe momentum $p_T$."),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    if "figure" in path.stem:
        alt = {"mystnb": {"image": {"alt": "a rising line"}}}
        cells.append(nbformat.v4.new_code_cell(figure, metadata=alt))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A small book with the extensions and the configuration of the real one."""
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(ROOT / "_ext", root / "_ext")
    shutil.copytree(ROOT / "book" / "_vendor", root / "book" / "_vendor")
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copy(ROOT / "book" / "favicon.svg", root / "book")
    toc = {"format": "jb-book", "root": "book/index"}
    toc["chapters"] = [{"file": "notebooks/01_figure"}, {"file": "notebooks/02_plain"}]
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    (root / "results").mkdir()
    auc = {"value": 0.81249, "error": 0.00412}
    metrics = dict.fromkeys(["auc", "accuracy", "recall", "precision"], auc)
    results = {"preset": "quick", "seed": 7, "events": {"test": 600}}
    results["classifiers"] = {"mlp": metrics}
    overlay = {"mu": 60, "pileup": "hgmm", "dz_reference": "origin"}
    results["parameters"] = {"overlay": overlay, "data": {"llp_masses": [100, 500]}}
    (root / "results" / "quick.json").write_text(json.dumps(results))
    (root / "book" / "index.md").write_text(
        "# First\n\nAUC {result}`quick:classifiers.mlp.auc`, later {result}`standard:seed`.\n\n"
        "Heavy: {result}`quick:parameters.data.llp_masses.1` GeV.\n\n"
        "```{results-table} quick\n```\n\n```{results-table}\n```\n\n```{notebook-table}\n```\n"
    )
    write_notebook(root / "notebooks" / "01_figure.ipynb", "import sys\nprint(sys.prefix)")
    write_notebook(root / "notebooks" / "02_plain.ipynb", "print(data['n_minbias'] - 1)")
    return root


@pytest.fixture(scope="module")
def executed(book, tmp_path_factory):
    """The book after a run, with another kernel called python3 on the user's path."""
    decoy = tmp_path_factory.mktemp("jupyter")
    spec = {"argv": ["false"], "display_name": "not this one", "language": "python"}
    (decoy / "kernels" / "python3").mkdir(parents=True)
    (decoy / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(decoy))
        ran = execute_notebooks("quick", root=book, progress=False)
    assert [path.name for path in ran] == ["01_figure.ipynb", "02_plain.ipynb"]
    return book


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def page(root, name):
    return BeautifulSoup((root / "_build" / "html" / name).read_text("utf-8"), "html.parser")


def test_runs_in_the_environment_of_the_package(executed):
    assert sys.prefix in outputs(executed / "_build" / "executed" / "01_figure.ipynb")


def test_passes_the_preset(executed):
    n_minbias = yaml.safe_load((ROOT / "params" / "quick.yaml").read_text())["data"]["n_minbias"]
    text = outputs(executed / "_build" / "executed" / "02_plain.ipynb")
    assert int(text) == n_minbias - 1


def test_leaves_the_source_alone(executed):
    assert outputs(executed / "notebooks" / "02_plain.ipynb") == ""


def test_runs_again_only_what_changed(executed, capsys):
    assert execute_notebooks("quick", root=executed) == []
    assert capsys.readouterr().out.count("unchanged") == 2
    write_notebook(executed / "notebooks" / "02_plain.ipynb", "print(data['n_minbias'] - 2)")
    ran = execute_notebooks("quick", root=executed, progress=False)
    assert [path.name for path in ran] == ["02_plain.ipynb"]


def test_pages(executed):
    assert build_html(executed).is_file()
    first = page(executed, "book/index.html").find("article").get_text(" ")
    assert "0.8125 ± 0.0041" in first
    assert "Heavy: 500 GeV" in " ".join(first.split())
    assert first.count("has not been run yet") == 2  # the role and the table of `standard`
    assert "MLP, the paper" in first
    assert "600 test events" in first
    figure = page(executed, "notebooks/01_figure.html")
    assert [image["alt"] for image in figure.find("article").find_all("img")] == ["a rising line"]
    assert figure.select(".tag_injected-parameters.tag_hide-input")
    assert not figure.select(".tag_parameters")
    scripts = [script["src"] for script in figure.find_all("script", src=True)]
    assert any("mathjax/tex-svg-full.js" in url for url in scripts)
    assert not [url for url in scripts if "//" in url]
    plain = (executed / "notebooks" / "02_plain.ipynb").read_text("utf-8")
    (executed / "_build" / "executed" / "02_plain.ipynb").write_text(plain.replace("- 2", "- 3"))
    build_html(executed)
    assert "- 3" in page(executed, "notebooks/02_plain.html").get_text().replace("\xa0", " ")


def test_missing_figure_is_a_warning(executed, capfd):
    index = executed / "book" / "index.md"
    before = index.read_text()
    index.write_text(
        before + "\n{result}`quick:classifiers.cnn.auc` {result}`fast:seed`\n"
        "{result}`quick:parameters.data.llp_masses.2`\n"
    )
    with pytest.raises(RuntimeError, match="warnings"):
        build_html(executed)
    warnings = capfd.readouterr().err
    assert "no 'cnn' in 'classifiers.cnn.auc'; there is mlp" in warnings
    assert "no '2' in 'parameters.data.llp_masses.2'; there is 0, 1" in warnings
    assert "fast.json" in warnings
    index.write_text(before)


def test_failing_cell_is_named(executed):
    write_notebook(executed / "notebooks" / "03_broken.ipynb", "energy = 1\nenergy / 0")
    with pytest.raises(RuntimeError) as failure:
        execute_notebooks("quick", root=executed, only=["03"], progress=False)
    first, *rest = str(failure.value).splitlines()
    assert first == (
        "notebooks/03_broken.ipynb failed in cell 4: ZeroDivisionError: division by zero"
    )
    assert any("energy / 0" in line for line in rest)
    assert not (executed / "_build" / "executed" / "03_broken.ipynb").exists()
    (executed / "notebooks" / "03_broken.ipynb").unlink()


@pytest.mark.parametrize(
    ("preset", "only", "message"),
    [("fast", None, "there are paper, quick"), ("quick", ["09"], "begins with '09'")],
)
def test_unknown_names_are_listed(executed, preset, only, message):
    with pytest.raises(FileNotFoundError, match=message):
        execute_notebooks(preset, root=executed, only=only)


def test_not_a_book(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no _config\.yml"):
        build_html(tmp_path)
