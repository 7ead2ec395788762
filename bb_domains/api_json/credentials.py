"""The credentials that the adapters log in with.

They are named here, kept in the environment, and never enter a prompt or a log.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field

from bb_core.errors import BBError

USER_VARIABLE = "BB_API_JSON_USER"
PASSWORD_VARIABLE = "BB_API_JSON_PASSWORD"  # noqa: S105 - the variable's name


@dataclass(frozen=True)
class Credentials:
    """A login; the password is not part of the printed form."""

    username: str
    password: str = field(repr=False)


def credentials_from_environment() -> Credentials:
    """The credentials in `BB_API_JSON_USER` and `BB_API_JSON_PASSWORD`.

    Raises:
        BBError: one of them is not set.
    """
    for name in (USER_VARIABLE, PASSWORD_VARIABLE):
        if not os.environ.get(name):
            raise BBError(
                f"{name} is not set",
                where="environment",
                fix="export the values that `bb demo serve` printed the place of",
            )
    return Credentials(os.environ[USER_VARIABLE], os.environ[PASSWORD_VARIABLE])


def new_credentials() -> Credentials:
    """Credentials for one run of the demonstration service, with a random password."""
    return Credentials("demo", secrets.token_urlsafe(18))
