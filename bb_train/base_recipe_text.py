"""Text that the base rail's recipe makes itself: records told in prose and again as data.

A small language model learns to copy (to continue what it has read) only from text in which the
same unusual strings come twice. The standard library alone has too little of it. These documents
tell invented facts in everyday English and repeat them as JSON, YAML, CSV, Python or a log line.
They carry no task: no tool, no request and no plan of any domain appears in them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

# ruff: noqa: SIM905
_SYLLABLES = """
ka lo mi ra ne to sa vi du be ri no la me ti ga po shi ve lu an el or in us ar en ia ol
dra ste bri mor fen gal wick ham ton ley by ford
""".split()
_FIELDS: dict[str, Callable[[random.Random], object]] = {}
_THINGS = """
book lamp garden engine ticket letter room song recipe bridge parcel invoice meeting train
camera window report sensor bicycle lesson river account machine guest message contract
package printer student teacher doctor farmer visitor member item table printer route
""".split()
_STATES = """
open closed late early broken ready missing new old urgent normal slow fast red green blue
small large heavy light cheap expensive damaged wrong right free busy active empty full
""".split()
_VERBS = """
arrived left moved stopped changed returned waited failed started finished appeared
called wrote answered asked paid sold bought sent received lost found
""".split()


def word(rng: random.Random, low: int = 2, high: int = 3) -> str:
    """An invented lower-case word of `low` to `high` syllables."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(low, high)))


def _email(rng: random.Random) -> str:
    first, last, host = word(rng, 1, 2), word(rng, 1, 3), word(rng)
    local = rng.choice([f"{first}.{last}", f"{first}_{last}", f"{first}{rng.randint(1, 99)}", last])
    return f"{local}@{host}.{rng.choice(['com', 'org', 'net', 'io', 'example'])}"


def _amount(rng: random.Random) -> int | float:
    cents = rng.randint(1, 50000)
    return cents // 100 if cents % 100 == 0 else cents / 100


_FIELDS.update(
    name=lambda r: f"{word(r).capitalize()} {word(r).capitalize()}",
    number=lambda r: r.randint(1, 10 ** r.randint(1, 6)),
    code=lambda r: f"{word(r, 1, 1).upper()}-{r.randint(10, 9999)}",
    email=_email,
    city=lambda r: word(r).capitalize(),
    price=_amount,
    state=lambda r: r.choice(_STATES),
    year=lambda r: r.randint(1900, 2030),
    owner=lambda r: word(r).capitalize(),
    count=lambda r: r.randint(1, 40),
    path=lambda r: "/" + "/".join(word(r, 1, 2) for _ in range(r.randint(1, 3))),
)
_CLAUSES = {
    "name": ["called {}", "with the name {}", "known as {}"],
    "number": ["number {}", "with number {}", "no. {}"],
    "code": ["with the code {}", "marked {}", "under {}"],
    "email": ["of {}", "belonging to {}", "whose address is {}", "for {}"],
    "city": ["in {}", "from {}", "sent to {}"],
    "price": ["for {}", "worth {}", "at a price of {}"],
    "state": ["which is {}", "said to be {}", "that looks {}"],
    "year": ["from {}", "made in {}", "of the year {}"],
    "owner": ["owned by {}", "of {}", "that {} has"],
    "count": ["with {} parts", "in {} pieces", "{} times"],
    "path": ["at {}", "stored in {}", "under {}"],
}
_OPENERS = [
    "There is a {thing}", "We have a {thing}", "I saw a {thing}", "Please look at the {thing}",
    "Then came the {thing}", "Yesterday the {thing} {verb}, the one", "The {thing} {verb}, the one",
    "They want a {thing}", "Could you find the {thing}", "Also note the {thing}",
    "Next is a {thing}",
    "My friend has a {thing}", "It is about the {thing}", "She asked for the {thing}",
]  # fmt: skip

Record = dict[str, object]


def _sentence(rng: random.Random, thing: str, record: Record) -> str:
    opener = rng.choice(_OPENERS).format(thing=thing, verb=rng.choice(_VERBS))
    items = list(record.items())
    rng.shuffle(items)
    clauses = [rng.choice(_CLAUSES[key]).format(value) for key, value in items]
    body = opener + " " + ", ".join(clauses)
    return body + ("?" if body.startswith("Could") else ".")


def _as_data(rng: random.Random, thing: str, records: list[Record]) -> str:
    style = rng.randrange(6)
    if style == 0:
        return json.dumps(records if len(records) > 1 else records[0], separators=(",", ":"))
    if style == 1:
        return json.dumps({thing + "s": records}, separators=(",", ":"))
    if style == 2:
        return "\n".join(f"{k}: {v}" for r in records for k, v in r.items())
    if style == 3:
        head = ",".join(records[0])
        return head + "\n" + "\n".join(",".join(str(v) for v in r.values()) for r in records)
    if style == 4:
        return "\n".join(
            f"{thing}({', '.join(f'{k}={v!r}' for k, v in r.items())})" for r in records
        )
    return json.dumps([{"kind": thing, "value": r} for r in records])


def _records(rng: random.Random) -> str:
    thing = rng.choice(_THINGS)
    keys = rng.sample(list(_FIELDS), rng.randint(1, 4))
    records = [{k: _FIELDS[k](rng) for k in keys} for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))]
    glue = rng.choice([" ", " ", "\n"])
    prose = glue.join(_sentence(rng, thing, r) for r in records)
    data = _as_data(rng, thing, records)
    return rng.choice(["{p}\n{d}\n", "{p}\n\n{d}\n", "# {p}\n{d}\n", "{d}\n\n{p}\n"]).format(
        p=prose, d=data
    )


def _repeats(rng: random.Random) -> str:
    items = [rng.choice(list(_FIELDS.values()))(rng) for _ in range(rng.randint(2, 8))]
    lines = [" ".join(map(str, items))] * rng.randint(2, 3)
    return "\n".join(lines) + "\n"


def _conversation(rng: random.Random) -> str:
    thing, other = rng.choice(_THINGS), word(rng).capitalize()
    record = {k: _FIELDS[k](rng) for k in rng.sample(list(_FIELDS), 2)}
    key = rng.choice(list(record))
    return (
        f"{other}: {_sentence(rng, thing, record)}\n"
        f"Q: What is the {key} of the {thing}?\nA: {record[key]}\n"
    )


def documents(seed: int) -> Iterator[str]:
    """Endless documents, the same for the same seed on every machine.

    Args:
        seed: seed of the generator.

    Yields:
        One document, 20 to 600 characters, ending in a newline.
    """
    rng = random.Random(seed)
    kinds = [_records, _records, _records, _repeats, _conversation]
    while True:
        yield rng.choice(kinds)(rng)
