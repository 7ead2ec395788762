"""The settings of a real desk: `desk.yaml` in the folder that `BB_SOCIAL_DESK` names.

    channels:
      news: {widest: public}
      crew: {widest: internal, team: ["@ana", "@bo"]}
    rules: {opens: 8, closes: 20, approvers: {public: lead}}
    people:
      - {handle: "@ana", name: Ana Adler, street: 5 Mill Lane}
    held: ["109372843234"]

People are those whose data no post may show. What is internal goes to the team of its channel as a
direct message, since Mastodon has no narrower audience.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_domains.social.pii.people import Person
from bb_domains.social.policies import Occasion, Role, Rules
from bb_domains.social.records import AUDIENCES, Audience, Channel, Contact

SETTINGS_FILE = "desk.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChannelSettings(_Strict):
    """A channel, and the handles that its internal posts go to."""

    widest: Audience
    team: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> ChannelSettings:
        if self.widest not in AUDIENCES:
            raise ValueError(f"widest must be one of {', '.join(AUDIENCES)}")
        return self


class RuleSettings(_Strict):
    """What differs from the standard of `policies.Rules`."""

    approvers: dict[Occasion, Role] = {}
    opens: int = Field(default=0, ge=0, le=23)
    closes: int = Field(default=24, ge=1, le=24)
    weekends: bool = True
    shares: bool = True
    limit: int = Field(default=120, ge=1, le=120)

    def rules(self) -> Rules:
        """The rules, the standard filled in."""
        approvers = {**Rules().approvers, **self.approvers}
        return Rules(approvers, self.opens, self.closes, self.weekends, self.shares, self.limit)


class PersonSettings(_Strict):
    """Somebody whose data is kept; without a handle, nobody can write to them."""

    name: str
    handle: str = Field(default="", pattern=r"^(@[\w.@-]+)?$")
    street: str = ""
    email: str = ""
    phone: str = ""
    accepts_messages: bool = True

    def contact(self) -> Contact:
        """As a contact; whether they are blocked, the server knows."""
        person = Person(self.name, self.street, self.email, self.phone)
        return Contact(self.handle, person, self.accepts_messages)


class Settings(_Strict):
    """A desk's settings."""

    channels: dict[str, ChannelSettings] = Field(min_length=1)
    rules: RuleSettings = RuleSettings()
    people: tuple[PersonSettings, ...] = ()
    held: tuple[str, ...] = ()

    def channel(self, name: str) -> Channel | None:
        """The channel of a name."""
        found = self.channels.get(name)
        return Channel(name, found.widest) if found else None


def load_settings(folder: Path) -> Settings:
    """Read a desk's settings.

    Raises:
        BBError: there is no such file, or it says something else.
    """
    path = folder / SETTINGS_FILE
    try:
        return Settings.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BBError(
            f"{place}: {first['msg']}", where=str(path), fix="see bb_domains/social/settings.py"
        ) from None
