"""Layouts: organisations that differ in channels, in how many write to them, and in topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bb_domains.social.records import Audience, Channel
from bb_domains.variants import Variants


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


def _channels(widest: Mapping[str, Audience]) -> tuple[Channel, ...]:
    return tuple(Channel(name, audience) for name, audience in widest.items())


LAYOUTS = Variants(
    "layout",
    (
        Layout(
            "club", False,
            _channels({"board": "public", "members": "followers", "committee": "internal"}),
            ("the spring regatta", "the boathouse", "the youth training", "the annual meeting"),
        ),
        Layout(
            "shop", False,
            _channels({"news": "public", "offers": "public", "staff": "internal"}),
            ("the repair counter", "the winter sale", "the new bike range", "the stocktaking"),
            n_contacts=12, n_messages=10,
        ),
        Layout(
            "library", False,
            _channels({"events": "public", "readers": "followers", "desk": "internal"}),
            ("the reading room", "the story hour", "the map collection", "the late opening"),
        ),
        Layout(
            "clinic", False,
            _channels({"notices": "public", "patients": "followers", "rota": "internal",
                       "ward": "internal"}),
            ("the flu jab week", "the waiting room", "the blood donation", "the night service"),
            n_contacts=14,
        ),
        Layout(
            "museum", True,
            _channels({"gallery": "public", "patrons": "followers", "guides": "internal",
                       "depot": "internal"}),
            ("the porcelain show", "the guided tour", "the roof terrace", "the lecture series"),
            n_statuses=12,
        ),
        Layout(
            "campus", True,
            _channels({"square": "public", "alumni": "followers", "open-lab": "public",
                       "senate": "internal", "tutors": "internal"}),
            ("the summer school", "the canteen", "the entrance exam", "the robotics fair"),
            n_contacts=16, n_messages=12,
        ),
    ),
)  # fmt: skip
