"""The files that say what is installed agree with each other."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hepgmm

ROOT = Path(__file__).resolve().parents[1]
ON_CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
# conda-forge has Pythia under another name, which our code does not import
FROM_PYPI = {"hepgmm", "pythia8mc"}


def constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def requirements():
    return [Requirement(text) for text in requires("hepgmm")]


def test_constraints_are_plain_pins():
    assert not [line for line in constraints() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]


def test_constraints_satisfy_every_requirement():
    pins = dict(line.split("==") for line in constraints())
    for requirement in requirements():
        if requirement.name != "hepgmm":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_conda_environment_asks_for_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = {line.split()[0]: line for line in environment["dependencies"] if type(line) is str}
    for requirement in requirements():
        marker = str(requirement.marker or "")
        if "dev" not in marker and requirement.name not in FROM_PYPI:
            name = ON_CONDA.get(requirement.name, requirement.name)
            bounds = conda[name].split()[1].split(",")
            assert set(bounds) == {str(bound) for bound in requirement.specifier}, name


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{hepgmm.__version__}"' in pyproject
    assert citation["version"] == hepgmm.__version__
    assert f"## {hepgmm.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda p: p.stem)
def test_workflows_call_targets_that_exist(path):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    called = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert all(command.removeprefix("make ").split()[0] in targets for command in called)
