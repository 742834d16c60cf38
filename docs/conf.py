"""How the site is built: `make docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

import surflow  # noqa: E402

project = "surflow"
author = "The surflow developers"
project_copyright = author
version = release = surflow.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "layers",
    "recorded",
    "for_machines",
]
# Pages of results are written by the experiments; the scripts of tutorials become pages of their own.
exclude_patterns = ["extensions", "static", "tutorials", "results/*/**"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
default_role = "code"

# Types of a signature go below it; names of other packages have no page to link to.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
templates_path = ["templates"]

# Scripts run in the process of the build: an error in one is an error of the build. Figures are those that they name.
sphinx_gallery_conf = {
    "examples_dirs": ["tutorials"],
    "gallery_dirs": ["learn"],
    "filename_pattern": "/",
    "abort_on_example_error": True,
    "show_memory": False,
    "min_reported_time": 3600,
    "download_all_examples": False,
    "remove_config_comments": True,
    "copyfile_regex": "",
    "image_scrapers": ("figures",),
    "capture_repr": (),
    "show_signature": False,
    "write_computation_times": False,
    "within_subsection_order": "FileNameSortKey",
}

html_theme = "furo"
html_title = "surflow"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = sorted(str(page.relative_to(HERE)) for page in (HERE / "results").glob("*/*.html"))
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/surflow/surflow/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
