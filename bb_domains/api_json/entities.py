"""People, addresses and cities that the demonstration service is filled with.

All lists are our own; domains use the names reserved for documentation (RFC 2606), so no address
can reach anybody. The lists multiply (names x shapes x domains, city heads x tails), so that a
model has to copy an entity and cannot know it by heart.
"""

from __future__ import annotations

import random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES: tuple[str, ...] = _words(
    """
    ada adele agnes aiko alan alba albert alice alina amara amir ana andrea anouk anton arda aria
    arjun armin arno asha astrid aurel aya azra bao basil beata bela benno bianca bjorn bo boris
    bram brenda bruno bryn caleb camila carlo carmen cato cecil celia chandra chen chiara clara
    clive colm cora cyril dagny dalia damir daniel daria david dilan dina dora edda edgar eero elena
    eli elif elisa elmar elsa emeka emil emma enzo erika esther eva ezra farah faye felix fenna
    fiona flora frank freya gabor gemma georg gideon gina grace greta gustav hakon hana hanif
    harriet hazel hector heidi helena henry hilde hiro hugo ibrahim ida igor ilse imani ines ingrid
    irene iris isaac ivo jada jakob jamal jana jasper javier jelena jens jia joan johan jonas jorge
    josie judith juno kai kamal karin kaya keiko kemal kim kira klaus kofi lara lars laura leila
    lena leo lidia lila linus lionel liv luca lucia ludwig luis luna maeve magnus maia malik manon
    marco maren maria marlon marta mateo maud maya mei milan mina mira mona nadia naoko nell nico
    nils nina noor nora odile olaf olga omar oona oscar otto pablo paula pavel petra pia quinn
    rafael rana renata rhea rico rita robin rosa ruben ruth sabine sahar salma samir sana sara selma
    sergio signe silas simone soren stella sven tamar tara teo tessa theo thora tilda tomas uma urs
    vera viktor vito wanda willa xenia yara yasmin yusuf zara zeno zita zoe
    """
)

LAST_NAMES: tuple[str, ...] = _words(
    """
    abbott acker adeyemi ahlberg akers albrecht almeida amsel anders appel arden arnold asher aydin
    bader baines baker barros bauer beck bell benitez berger bishop blom bloom boateng bond borg
    bosch bowen brandt breuer brook brun burke byrne cabral calder carver castro cerny chan chavez
    cole conti cook costa crane cruz daly danvers dekker delgado demir diaz dolan drake duarte dunn
    duval eaton eder ekman ellis engel erdem estrada evers faber falk farrell ferro fink fisher
    flood flores fonseca ford frey fuchs gale garner gauthier geller gibbs glass gold gomez graf
    grant greer grim gruber haas hale halim hardy hart hayes heller herrera hirsch hoang holm horn
    huber hunt ibarra iliev inoue ito jacobs jansen jensen joyce kader kaplan karlsen kato keller
    kemp kerr khan kiefer klein knight koch kolar kovac kraus kuhn laine lamb lang larsen leclerc
    lehto lenz lind lopez lorenz lowe lund madsen mahler mann marek marsh mazur meier mendez merk
    miller molina moore moreau moss muller myers nagy naidu navarro neumann nolan norris novak nunez
    oakes ochoa odell okafor olsen orban ortega osei owens palmer park patel pavlov perez peters
    pham pike pinto pohl porter prince quist rahman ramos raske reed reis reyes rhodes riley rios
    ritter rossi roth rowe ruiz rusk sadler salas sato sauer schmid scott serra shaw silva simic
    sloan soto stahl stark stein stone strand suarez sutter tanaka tate thorn tierney toth tran
    turner ueda unger vance vargas vega vidal vogel voss wagner walsh ward weber weiss west wilde
    winter wolf wood yamada yilmaz york young zapata zeller ziegler zimmer
    """
)

MAIL_DOMAINS: tuple[str, ...] = _words(
    """
    example.com example.org example.net mail.example.com post.example.org inbox.example.net
    brightpost.example harborline.example quillmail.example northgate.example oakwire.example
    bluekite.example fernhill.example papertrail.example lanternco.example greyheron.example
    saltmarsh.example copperleaf.example ironbridge.example millpond.example tidewell.example
    redthread.example stonepath.example cloudberry.example windrose.example amberly.example
    foxglove.example larkspur.example kestrel.test driftwood.test snowcap.test moonriver.test
    pinegrove.test silverbay.test goldcrest.test softlight.test fairmile.test longacre.test
    highmoor.test westbrook.test team.oakwire.test shop.fernhill.test office.highmoor.test
    """
)

CITY_HEADS: tuple[str, ...] = _words(
    """
    Alder Amber Ash Birch Black Bright Cedar Clay Cold Copper Deer Eagle Elm Fair Fox Glen Gold
    Green Grey Hart Hazel High Iron Kings Lake Long Maple Marsh Mill North Oak Old Pine Raven Red
    River Rose Salt Silver Stone Thorn West White Wind
    """
)
CITY_TAILS: tuple[str, ...] = _words(
    """
    bridge brook burg bury dale field ford gate ham haven holm hurst mouth port stead ton vale wick
    """
)
CITY_PREFIXES: tuple[str, ...] = (
    "Port ",
    "Saint ",
    "New ",
    "Upper ",
    "Lower ",
    "East ",
    "Fort ",
    "Mount ",
)


def make_name(rng: random.Random) -> tuple[str, str]:
    """A first and a last name, both lower case."""
    return rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)


def make_email(rng: random.Random, first: str, last: str) -> str:
    """An address for a person, in one of fourteen shapes; at most 48 characters, lower case."""
    year, digit = rng.randrange(60, 100), rng.randrange(1, 1000)
    local = rng.choice(
        (
            f"{first}.{last}",
            f"{first}.{last}",
            f"{first}_{last}",
            f"{first}-{last}",
            f"{first}{last}",
            f"{last}.{first}",
            f"{last}{first[0]}",
            f"{first[0]}.{last}",
            f"{first[0]}{last}",
            f"{first}{digit}",
            f"{first}.{last}{year}",
            f"{last}_{year}",
            f"{first}.{last[0]}",
            f"{last}.{digit}",
        )
    )
    return f"{local}@{rng.choice(MAIL_DOMAINS)}"


def make_city(rng: random.Random) -> str:
    """A city name of one or two words, for example `Foxhaven` or `Port Elmwick`."""
    prefix = rng.choice(CITY_PREFIXES) if rng.random() < 0.25 else ""
    return prefix + rng.choice(CITY_HEADS) + rng.choice(CITY_TAILS)


def make_amount(rng: random.Random, low_cents: int, high_cents: int) -> int:
    """An amount in cents from `low_cents` to `high_cents`: whole, half or any, as people say.

    Args:
        rng: source of randomness.
        low_cents: smallest amount, at least 1.
        high_cents: largest amount, at least `low_cents`.
    """
    kind = rng.random()
    step = 100 if kind < 0.5 else 50 if kind < 0.65 else 1
    low, high = -(-low_cents // step), high_cents // step
    if low > high:
        return rng.randint(low_cents, high_cents)
    return step * rng.randint(low, high)
