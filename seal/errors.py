"""The errors of the package.

BBError
├── UsageError           wrong option or argument (exit code 2)
│   └── StrategyError    unknown strategy
└── SealError            refused or failed (exit code 1)
    ├── PassageError     an input file that cannot be read as passages
    ├── ModelError       a model or tokenizer that cannot be loaded or used
    ├── PromptError      a prompt that cannot be made for this model
    └── JobError         an output that cannot be written or resumed
"""

from bb_core.errors import BBError, UsageError


class StrategyError(UsageError):
    """A strategy name that does not exist."""


class SealError(BBError):
    """Root of the errors that are not wrong usage."""


class PassageError(SealError):
    """An input file that cannot be read as passages."""


class ModelError(SealError):
    """A model or tokenizer that cannot be loaded or used."""


class PromptError(SealError):
    """A prompt that cannot be made for this model."""


class JobError(SealError):
    """An output that cannot be written or resumed."""
