"""The prose pages say what the code does: parameters, commands, examples."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from hepgmm.analysis.presets import SCHEMA, load_preset
from hepgmm.cli import main

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = sorted(BOOK.glob("*.md"))
WIDTH = 79  # what a page shows of a block of code at 1300 pixels


def read(name):
    return (BOOK / name).read_text(encoding="utf-8")


def blocks(text, language):
    """Code blocks of one language, without the indentation that a list gives them."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", code, flags=re.M) for indent, code in found]


@pytest.mark.parametrize("group", SCHEMA)
def test_parameter_table_is_the_schema(group):
    section = read("rerun.md").split(f"### `{group}`")[1].split("##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section, flags=re.M)
    described = {key: (meaning.replace(r"\|", "|"), allowed) for key, meaning, allowed in rows}
    assert described == {key: (rule.meaning, rule.allowed) for key, rule in SCHEMA[group].items()}


def test_every_command_is_listed(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^ {4}([a-z]+)(?: |$)", capsys.readouterr().out, flags=re.M)
    listed = re.findall(r"^\| `hepgmm (\w+)` \|", read("rerun.md"), flags=re.M)
    assert commands
    assert sorted(listed) == sorted(commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_examples_parse(page):
    for code in blocks(page.read_text(encoding="utf-8"), "python"):
        assert ast.parse(code).body  # SyntaxError if it is no Python


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_fits_the_page(page):
    code = blocks(page.read_text(encoding="utf-8"), "(?:bash|python|yaml)")
    assert not [line for block in code for line in block.splitlines() if len(line) > WIDTH]


def documented():
    """Objects that the page of public names shows, members with them."""
    entry = re.compile(r"^\.\. auto\w+:: hepgmm\.(\S+)(?:\n +:members:(.*))?", flags=re.M)
    for name, members in entry.findall(read("api.md")):
        yield name, ""
        yield from ((name, member) for member in re.split(r",\s*", members.strip()) if member)


@pytest.mark.parametrize(("name", "member"), documented())
def test_public_name_is_there_and_its_example_fits_the_page(name, member):
    module, _, attribute = name.rpartition(".")
    shown = getattr(import_module(f"hepgmm.{module}".rstrip(".")), attribute)
    text = inspect.getdoc(getattr(shown, member) if member else shown)
    examples = re.findall(r"^ *(?:>>>|\.\.\.) .*", text or "", flags=re.M)
    assert text and not [line for line in examples if len(line) > WIDTH]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_papermill_examples_name_notebooks_and_allowed_parameters(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"notebooks/\w+\.ipynb", text):
        assert (BOOK.parent / name).is_file()
    for override in re.findall(r'-y "(.+?)"', text):
        load_preset("quick", **yaml.safe_load(override.replace("$mu", "60").replace("$ctau", "30")))


def test_every_exercise_has_a_solution():
    text = read("exercises.md")
    labels = re.findall(r"\{exercise\} .+\n:label: (\S+)", text)
    assert len(labels) >= 8
    assert re.findall(r"\{solution\} (\S+)", text) == labels
    assert re.findall(r"<(ex-\w+)>` \|", text) == labels


def test_examples_of_presets_load(tmp_path):
    for number, text in enumerate(blocks(read("rerun.md"), "yaml")):
        preset = tmp_path / f"{number}.yaml"
        preset.write_text(text, encoding="utf-8")
        assert load_preset(preset)["overlay"]["mu"] == 140
