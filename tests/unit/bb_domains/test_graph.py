"""Drawings of a domain."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from bb_domains.compiler import PlanMachine
from bb_domains.graph import Edge, domain_graph, dot_text
from bb_domains.schema import parse_schema
from bb_domains.svg import svg_text


def test_edges_say_how_a_tool_depends_on_a_fluent(machine: PlanMachine) -> None:
    edges = set(domain_graph(machine).edges)
    assert Edge("logged_in", "login", "forbids") in edges
    assert Edge("login", "logged_in", "sets") in edges
    assert Edge("logout", "logged_in", "clears") in edges
    assert Edge("logged_in", "refund", "needs") in edges
    assert Edge("confirm", "owns(customer, order)", "sets") in edges


def test_a_fluent_that_may_be_either_is_asked_for() -> None:
    tools = {"t": {"pre": "a <-> b", "effects": ["a", "b"]}}
    schema = parse_schema({"domain": "d", "fluents": {"a": [], "b": [], "c": []}, "tools": tools})
    graph = domain_graph(PlanMachine(schema))
    assert [edge.kind for edge in graph.edges] == ["asks", "asks", "sets", "sets"]
    assert graph.fluents == ("a", "b")


def test_dot_has_every_node_and_edge(machine: PlanMachine) -> None:
    graph = domain_graph(machine)
    text = dot_text(graph)
    assert text.startswith('digraph "shop" {') and text.endswith("}\n")
    assert text.count(" -> ") == len(graph.edges)
    assert text.count("shape=box") == len(graph.tools)


def test_svg_is_xml_and_nothing_overlaps(machine: PlanMachine) -> None:
    graph = domain_graph(machine)
    root = ET.fromstring(svg_text(graph))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(graph.tools) | set(graph.fluents) <= set(texts)
    rects = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg_text(graph))
    boxes = [tuple(map(float, rect)) for rect in rects]
    assert len(boxes) == len(graph.tools) + len(graph.fluents)
    for i, (x, y, width) in enumerate(boxes):
        for x2, y2, width2 in boxes[:i]:
            assert x + width <= x2 or x2 + width2 <= x or abs(y - y2) >= 30


def test_a_circle_of_fluents_is_drawn() -> None:
    tools = {"t": {"pre": "a", "effects": ["b"]}, "u": {"pre": "b", "effects": ["a"]}}
    schema = parse_schema({"domain": "d", "fluents": {"a": [], "b": []}, "tools": tools})
    assert "<svg" in svg_text(domain_graph(PlanMachine(schema)))
