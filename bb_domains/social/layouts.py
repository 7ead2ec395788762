"""Layouts: organisations that differ in channels, in how many write to them, and in topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bb_core.errors import BBError
from bb_domains.social.records import Channel


@dataclass(frozen=True)
class Layout:
    """An organisation.

    Attributes:
        name: its name.
        held_out: whether it is kept for `unseen_layouts`.
        channels: where it posts.
        subjects: what it writes about.
        n_contacts: people on its contact list.
        n_messages: messages in its inbox.
        n_statuses: posts that can be seen, its own and others'.
    """

    name: str
    held_out: bool
    channels: tuple[Channel, ...]
    subjects: tuple[str, ...]
    n_contacts: int = 8
    n_messages: int = 6
    n_statuses: int = 8


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "club",
            False,
            (
                Channel("board", "public"),
                Channel("members", "followers"),
                Channel("committee", "internal"),
            ),
            ("the spring regatta", "the boathouse", "the youth training", "the annual meeting"),
        ),
        Layout(
            "shop",
            False,
            (Channel("news", "public"), Channel("offers", "public"), Channel("staff", "internal")),
            ("the repair counter", "the winter sale", "the new bike range", "the stocktaking"),
            n_contacts=12,
            n_messages=10,
        ),
        Layout(
            "library",
            False,
            (
                Channel("events", "public"),
                Channel("readers", "followers"),
                Channel("desk", "internal"),
            ),
            ("the reading room", "the story hour", "the map collection", "the late opening"),
        ),
        Layout(
            "clinic",
            False,
            (
                Channel("notices", "public"),
                Channel("patients", "followers"),
                Channel("rota", "internal"),
                Channel("ward", "internal"),
            ),
            ("the flu jab week", "the waiting room", "the blood donation", "the night service"),
            n_contacts=14,
        ),
        Layout(
            "museum",
            True,
            (
                Channel("gallery", "public"),
                Channel("patrons", "followers"),
                Channel("guides", "internal"),
                Channel("depot", "internal"),
            ),
            ("the porcelain show", "the guided tour", "the roof terrace", "the lecture series"),
            n_statuses=12,
        ),
        Layout(
            "campus",
            True,
            (
                Channel("square", "public"),
                Channel("alumni", "followers"),
                Channel("open-lab", "public"),
                Channel("senate", "internal"),
                Channel("tutors", "internal"),
            ),
            ("the summer school", "the canteen", "the entrance exam", "the robotics fair"),
            n_contacts=16,
            n_messages=12,
        ),
    )
}


def layout_names(*, held_out: bool) -> tuple[str, ...]:
    """The layouts that training sees, or those kept for evaluation."""
    return tuple(name for name, layout in LAYOUTS.items() if layout.held_out == held_out)


def layout_named(name: str) -> Layout:
    """The layout of this name.

    Raises:
        BBError: there is none.
    """
    if name not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        raise BBError(f"no layout {name!r}", where="domain social", fix=f"use one of {known}")
    return LAYOUTS[name]
