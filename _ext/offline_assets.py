"""Serve MathJax and the widget manager from the book itself: its pages load nothing from outside.

The scripts lie in ``book/_vendor/``. They are copied through a static path of their own, because
Jupyter Book links every script of a ``_static/`` folder into every page.
"""

from pathlib import Path

# FontAwesome must keep the <i> elements that the buttons of the widgets are made of.
ICONS = 'window.FontAwesomeConfig = {autoReplaceSvg: "nest"};'

# The widget manager typesets labels through the queue of MathJax 2; the book has MathJax 3,
# which replaces this object when it starts, and is absent from pages without formulas.
TYPESETTING = """
window.MathJax = Object.assign(window.MathJax || {}, {
  Hub: {Queue: () => {}},
  startup: {ready: () => {
    MathJax.startup.defaultReady();
    MathJax.Hub = {Queue: ([, , element]) => MathJax.typesetPromise([element])};
  }}
});
"""


def link_vendored(app, config):
    """Point MathJax and myst-nb to the vendored scripts (event config-inited)."""
    config.html_static_path.append(str(Path(app.srcdir) / "book" / "_vendor"))
    config.mathjax_path = "mathjax/tex-svg-full.js"
    # the bundle that needs no require.js
    config.nb_ipywidgets_js = {"ipywidgets/embed.js": {}}


def drop_thebe(app, config):
    """Disconnect sphinx-thebe, which Jupyter Book always adds (event config-inited).

    The book has no kernel to offer, and the constants that the extension writes into every page
    twice are a script error. The folder of its style sheet, which stays linked, is kept.
    """
    for event, listeners in app.events.listeners.items():
        for listener in list(listeners):
            if listener.handler.__module__ == "sphinx_thebe" and event != "builder-inited":
                app.disconnect(listener.id)


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", link_vendored)
    app.connect("config-inited", drop_thebe)
    app.add_js_file(None, body=ICONS, priority=100)
    app.add_js_file(None, body=TYPESETTING, priority=600)
    return {"version": "0.1.0", "parallel_read_safe": True, "parallel_write_safe": True}
