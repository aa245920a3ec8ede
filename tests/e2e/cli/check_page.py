# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Reads a profile's page: that its markup is whole, that it needs nothing from outside and runs nothing; its tables and numbers."""
import html.parser
import json
import re

VOID = {"meta", "br", "path", "rect", "line", "circle"}
REACHES = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background", "xlink:href", "ping"}


class Bad(Exception):
    pass


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tables, self.numbers, self.text, self.paths = [], [], None, [], []
        self.feed(text)
        self.close()
        if self.open:
            raise Bad(f"never closed: {self.open}")
        style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
        if "url(" in style or "@import" in style:
            raise Bad("the style reaches out")

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in REACHES or key.startswith("on") or (key == "style"):
                raise Bad(f"<{tag} {key}={value}>")
        attrs = dict(attrs)
        if tag in ("script", "iframe", "object", "embed", "link", "img", "base", "form") and attrs.get("type") != "application/json":
            raise Bad(f"<{tag}> of {attrs}")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "path":
            self.paths.append(attrs["d"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            raise Bad(f"</{tag}> within {self.open}")
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.numbers = json.loads(data)
        elif self.open and self.open[-1] != "style":
            self.text.append(data)
            if "table" in self.open and ("td" in self.open or "th" in self.open) and "title" not in self.open:
                self.tables[-1][-1][-1] += data

    def table(self, first):
        """The table whose head begins so: rows by their first cell, each a dict by the head's words."""
        for t in self.tables:
            if t and t[0] and t[0][0] == first:
                return [dict(zip(t[0], row)) for row in t[1:]]
        raise Bad(f"no table of {first}")


def read(path):
    page = Page(path.read_text(encoding="utf-8"))
    if page.numbers is None:
        raise Bad("no numbers")
    return page
