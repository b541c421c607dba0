"""Adapt pages and docstrings to the site that MkDocs builds.

A page links to a file outside `docs` by its relative path, so that the link works in the repository
too. On the site, such a link leads to the repository.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.plugins.docs_hook")

LINK = re.compile(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")
ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):<code>[~.]*")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Return the page with links to files outside `docs` as links to the repository."""
    docs = Path(config.docs_dir)
    folder = docs.joinpath(page.file.src_uri).parent

    def absolute(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[1]))
        if target.is_relative_to(docs):
            return found[0]
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, found[1])
        path = target.relative_to(docs.parent).as_posix()
        return f"]({config.repo_url}/blob/main/{path}{found[2] or ''})"

    return LINK.sub(absolute, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Return the page without the roles of Sphinx, which docstrings use."""
    return ROLE.sub("<code>", html)
