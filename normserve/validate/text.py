"""Text that a model brings, made harmless where a person or a parser reads it. Writes nothing.

Names of tensors, nodes and files are anybody's: they may hold line breaks, terminal escapes,
characters that turn the direction of writing, and half surrogates, which no encoding takes.
"""

import re

__all__ = ["encodable", "markdown", "visible"]

_MARKDOWN = re.compile(r"([\\`*_\[\]<>&|~$#@!:])")


def visible(text: str) -> str:
    r"""On one line, with what cannot be seen written out as Python does: ``\n``, ``\x1b``."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def encodable(text: str) -> str:
    """The same where it can be encoded; the bytes of a file's name that are no text written out."""
    return text.encode(errors="backslashreplace").decode()


def markdown(text: str) -> str:
    """As it is, in a paragraph or a cell of GitHub-flavoured Markdown: nothing in it is markup."""
    return _MARKDOWN.sub(r"\\\1", visible(text))
