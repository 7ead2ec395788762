"""Which phone the tools act on: the one behind `adb`, or a simulated one.

BB_PHONE_ADB        path of the adb executable; without it the phone is simulated
BB_PHONE_SERIAL     which of the phones that adb knows; needed if it knows several
BB_PHONE_ELEMENTS   a book of other apps' elements, shaped like elements.yaml
BB_PHONE_PIN, BB_PHONE_BANK_PIN
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bb_domains.phone.adb import AdbDevice
from bb_domains.phone.driver import Driver
from bb_domains.phone.elements import ELEMENTS, load_book
from bb_domains.phone.handset import make_handset
from bb_domains.phone.layouts import LAYOUTS
from bb_domains.phone.policies import POLICIES
from bb_domains.phone.simulated import SECRETS
from bb_domains.schema import PlanSchema
from bb_domains.tools import Adapters


@contextmanager
def open_phone(schema: PlanSchema, environment: Mapping[str, str]) -> Iterator[Adapters]:
    """What carries the domain's calls out.

    Raises:
        BBError: adb knows no such phone, or the book of elements is broken.
    """
    book = load_book(Path(environment.get("BB_PHONE_ELEMENTS", ELEMENTS)))
    adb = environment.get("BB_PHONE_ADB", "")
    if not adb:
        phone = make_handset(LAYOUTS["plain"], POLICIES["open"], 0)
        yield Driver(phone, load_book(), SECRETS)
        return
    names = {name for tool in schema.tools.values() for name in tool.secrets.values()}
    secrets = {name: environment[name] for name in names if name in environment}
    device = AdbDevice(adb, environment.get("BB_PHONE_SERIAL", ""))
    device.check()
    yield Driver(device, book, secrets)
