"""Sphinx's settings: `make docs` builds the pages from this folder, strictly and without a network.

The references (commands, recipe keys, filters, Python names) are written by `generate/` from the code
each time, the notebooks are carried out by `generate/notebooks.py`; neither is kept in git.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docs.generate import write_pages  # noqa: E402
from vlt import __version__  # noqa: E402

project = "vlt"
author = "the vlt authors"
copyright = "2026, the vlt authors"
release = version = __version__

extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["_build", "generate", "**/.*"]
source_suffix = {".md": "markdown"}
root_doc = "index"
nitpicky = True
smartquotes = False  # --from is an option, not a dash

myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"vlt {release}"
html_static_path = ["_static"]
html_css_files = ["vlt.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"


from pygments.lexers.special import TextLexer  # noqa: E402
from sphinx.highlighting import lexers  # noqa: E402

lexers["csv"] = TextLexer()


def setup(app: Any) -> None:
    """Write the generated pages before Sphinx looks for sources."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
