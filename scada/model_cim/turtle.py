"""A reader of Turtle (W3C RDF 1.1), as much of it as published SHACL shapes use: no base IRIs, no numeric exponents."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from scada.core.errors import ModelError

_TOKEN = re.compile(
    r'''(?P<space>\s+|\#[^\n]*)
    |(?P<text>"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*")
    |(?P<iri><[^>\s]*>)
    |(?P<tag>@[A-Za-z-]+|\^\^)
    |(?P<mark>[\[\](),;]|\.(?=\s|$))
    |(?P<word>[^\s\[\](),;"<>^]*[^\s\[\](),;"<>^.])''',
    re.VERBOSE | re.DOTALL,
)

Node = str
"""``prefix:name``, an IRI without its brackets, ``_:n`` for a blank node, or a literal with a leading ``"``."""


class Graph:
    """Statements of one or several Turtle files, by subject and predicate. Names keep their prefix.

    >>> graph = Graph()
    >>> graph.read("eq:A a sh:NodeShape ; sh:in ( cim:B cim:C ) .", "x.ttl")
    >>> graph.items(graph.one("eq:A", "sh:in"))
    ['cim:B', 'cim:C']
    """

    def __init__(self) -> None:
        self.said: dict[Node, dict[str, list[Node]]] = {}
        self._blank = 0

    def read(self, text: str, label: str) -> None:
        """Add the statements of one file.

        Raises:
            ModelError: the text is not Turtle; ``where`` has ``label`` and the line.
        """
        _Parser(self, text, label).run()

    def all(self, subject: Node, predicate: str) -> list[Node]:
        """Every object of a subject and predicate, in file order."""
        return self.said.get(subject, {}).get(predicate, [])

    def one(self, subject: Node, predicate: str) -> Node:
        """The first object, empty if there is none."""
        found = self.all(subject, predicate)
        return found[0] if found else ""

    def text(self, subject: Node, predicate: str) -> str:
        """A literal without its quotes, empty if there is none."""
        return self.one(subject, predicate).removeprefix('"')

    def items(self, node: Node) -> list[Node]:
        """Members of a collection; of anything else none."""
        return self.all(node, "rdf:items")

    def blank(self) -> Node:
        """A new blank node."""
        self._blank += 1
        return f"_:{self._blank}"

    def add(self, subject: Node, predicate: str, value: Node) -> None:
        """One more statement."""
        self.said.setdefault(subject, defaultdict(list))[predicate].append(value)


class _Parser:
    def __init__(self, graph: Graph, text: str, label: str) -> None:
        self._graph = graph
        self._text = text
        self._label = label
        self._at = 0
        self._tokens = self._scan()
        self._ahead = next(self._tokens, ("", ""))

    def run(self) -> None:
        while self._ahead[0]:
            kind, word = self._take()
            if kind == "tag" and word in ("@prefix", "@base"):
                while self._take()[1] != ".":
                    pass
                continue
            subject = self._node(kind, word)
            if self._ahead[1] != ".":
                self._predicates(subject)
            self._expect(".")

    def _scan(self) -> Iterator[tuple[str, str]]:
        while self._at < len(self._text):
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                raise self._error(f"{self._text[self._at : self._at + 20]!r} is no Turtle")
            self._at = match.end()
            if match.lastgroup != "space":
                yield match.lastgroup or "", match.group()

    def _take(self) -> tuple[str, str]:
        taken = self._ahead
        if not taken[0]:
            raise self._error("the file ends in the middle of a statement")
        self._ahead = next(self._tokens, ("", ""))
        return taken

    def _expect(self, mark: str) -> None:
        _, word = self._take()
        if word != mark:
            raise self._error(f"{word!r} where {mark!r} should be")

    def _predicates(self, subject: Node) -> None:
        while self._ahead[1] not in (".", "]"):
            kind, word = self._take()
            predicate = "rdf:type" if word == "a" else self._node(kind, word)
            while True:
                self._graph.add(subject, predicate, self._node(*self._take()))
                if self._ahead[1] != ",":
                    break
                self._take()
            while self._ahead[1] == ";":
                self._take()

    def _node(self, kind: str, word: str) -> Node:
        if word == "[":
            node = self._graph.blank()
            self._predicates(node)
            self._expect("]")
            return node
        if word == "(":
            node = self._graph.blank()
            while self._ahead[1] != ")":
                self._graph.add(node, "rdf:items", self._node(*self._take()))
            self._take()
            return node
        if kind == "text":
            return self._literal(word)
        if kind in ("iri", "word"):
            return word.strip("<>")
        raise self._error(f"{word!r} is no name and no value")

    def _literal(self, word: str) -> Node:
        if self._ahead[1] == "^^":
            self._take()
            self._take()
        elif self._ahead[0] == "tag":
            self._take()
        return '"' + (word[3:-3] if word.startswith('"""') else word[1:-1])

    def _error(self, text: str) -> ModelError:
        line = self._text.count("\n", 0, self._at) + 1
        return ModelError(text, where=f"{self._label}:{line}", mend="is it a Turtle file, and complete?")
