"""Sphinx's settings for the site; ``docs/build_site.py`` lays out the sources and starts it."""

project = "lf6gateway"
author = "the lf6gateway authors"
copyright = "the lf6gateway authors"
html_title = "lf6gateway"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["deploy", "examples"]
# Links to headings are written as the usual hosts make them: docs/security-auth.md#tokens.
myst_heading_anchors = 4
# A `sh` block may hold what a reader replaces, and no page is lost for a colour.
highlight_language = "none"

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
# Nothing is fetched from elsewhere: fonts are the reader's own, and there is no script but the theme's.
html_theme_options = {
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "font-stack--monospace": "ui-monospace, monospace"},
}
