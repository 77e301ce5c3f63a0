"""A page as a tree, for tests that look at what a reader sees."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

VOID = frozenset({"br", "meta"})
INLINE = frozenset({"a", "b", "code", "small", "span"})


class Element:
    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children = tag, attributes, []

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag):
        return [element for element in self.walk() if element.tag == tag]

    def by_id(self, identity):
        (found,) = (e for e in self.walk() if e.attributes.get("id") == identity)
        return found

    @property
    def text(self):
        """As it is read: runs of white space are one space."""
        return " ".join(self.said().split())

    def said(self):
        if self.tag in ("style", "title", "desc"):
            return ""
        said = "".join(
            child.said() if isinstance(child, Element) else child for child in self.children
        )
        return said if self.tag in INLINE else f" {said} "

    def rows(self):
        """The cells of every row of a table's body."""
        return [
            [cell.text for cell in row.children if isinstance(cell, Element)]
            for body in self.all("tbody")
            for row in body.all("tr")
        ]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open = [Element("page", {})]

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(page):
    """The tree of a page, in which every element is closed where it was opened."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    (root,) = parser.open
    return root


def drawing(svg):
    """A drawing as XML."""
    return ET.fromstring(svg)  # noqa: S314 - of our own making


def drawings(page):
    """Every drawing of a page as XML."""
    return [drawing(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
