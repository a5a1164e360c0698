"""The stepper works in the browser alone: its state, as saved in a page, holds all it needs."""

import pytest

pytest.importorskip("ipywidgets", reason="ipywidgets is a dependency of the book")

from hepgmm.plots import Picture
from hepgmm.plots.style import stepper


def pictures(n):
    return [Picture(b"png", alt=f"{k} components", width=300) for k in range(n)]


def test_slider_and_pictures_are_linked_in_the_browser():
    from ipywidgets import Widget
    from ipywidgets.embed import dependency_state

    box = stepper(pictures(3), labels=[1, 2, 3], description="K")
    state = dependency_state([box])
    links = [w["state"] for w in state.values() if w["model_name"] == "LinkModel"]
    slider, stack = box.children
    expected = [[f"IPY_MODEL_{slider.model_id}", "index"]]
    expected += [[f"IPY_MODEL_{stack.model_id}", "selected_index"]]
    assert [links[0]["source"], links[0]["target"]] == expected
    assert isinstance(slider, Widget)


def test_every_picture_keeps_its_alternative_text_and_label():
    box = stepper(pictures(3), labels=["a", "b", "c"], description="K")
    slider, stack = box.children
    assert list(slider.options) == ["a", "b", "c"]
    assert [f'alt="{k} components"' in child.value for k, child in enumerate(stack.children)] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("n_pictures", "labels", "message"), [(1, ["a"], "at least two"), (2, ["a"], "1 labels for 2")]
)
def test_bad_input_is_named(n_pictures, labels, message):
    with pytest.raises(ValueError, match=message):
        stepper(pictures(n_pictures), labels, description="K")
