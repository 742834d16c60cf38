"""llms.txt: the pages of the site, one a line with its first sentences, for programs that read it (llmstxt.org)."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def first_paragraph(document: nodes.document) -> str:
    """The first words of a page below its title."""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            return " ".join(paragraph.astext().split())
    return ""


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the list beside the built pages."""
    if error is not None or app.builder.name != "html":
        return
    env = app.env
    lines = ["# surflow", "", f"> {first_paragraph(env.get_doctree('index'))}", ""]
    for docname in sorted(env.found_docs):
        if not docname.startswith(("api/generated/", "learn/sg_")):
            title = env.titles[docname].astext()
            lines.append(f"- [{title}]({docname}.html): {first_paragraph(env.get_doctree(docname))}")
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write when all pages are there."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
