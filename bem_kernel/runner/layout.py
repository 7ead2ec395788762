"""What the fast path's kernels share with the code around them: cells, columns, settings.

The numbers of clock cells and trace columns are part of the stored form.

Source: BEM core spec 7.1, 8.1.
"""

from __future__ import annotations

from typing import Final

# Cells of the clock, (CLOCK_CELLS,) int64 in SHARED.
STEP: Final = 0
"""Steps taken since the machine was made."""
HEAD: Final = 1
"""Rows written to the trace, ever; row r lies at r modulo its capacity."""
TAIL: Final = 2
"""Rows that the mid path has used up."""
EPISODE: Final = 3
"""Episodes begun."""
EPISODE_STEP: Final = 4
"""The step with which the present episode began."""
TOTAL_LOSS_Q16: Final = 5
"""Losses of all rows used up, Q16, saturating."""
LOGGED: Final = 6
"""Entries written to the log."""
OPEN: Final = 7
"""1 while an episode is under way."""
EPISODE_REWARD: Final = 8
"""Rewards of the present episode's rows used up, modulo 2**64."""
EPISODE_LOSS_Q16: Final = 9
"""Their losses, Q16, saturating."""
UPDATES: Final = 10
"""Updates of the policy, ever."""
CLOCK_CELLS: Final = 16

BY_SLOT: Final = ("runner.charges_q16", "runner.losses_q16", "runner.choices")
"""The runner's regions of SHARED that have a row for each slot of the expert table."""

# Columns of a trace row, int64.
T_STEP: Final = 0
T_LANE: Final = 1
"""The lane that chose; -1 where one expert was chosen for all."""
T_OBSERVATION: Final = 2
"""64 bits, as a signed number."""
T_IDENTIFIER: Final = 3
T_SLOT: Final = 4
"""Good until slots are rebalanced, which waits for the mid path."""
T_PROBABILITY_Q30: Final = 5
T_REWARD: Final = 6
T_FINGERPRINT: Final = 7
"""Of the state before the step, 64 bits, as a signed number."""
TRACE_COLUMNS: Final = 8

# Settings of a run, int64.
S_K: Final = 0
"""Candidates."""
S_HIGH_SLOT: Final = 1
S_WORDS: Final = 2
S_LANES: Final = 3
S_RULE: Final = 4
S_SHARD: Final = 5
S_EACH_LANE: Final = 6
"""1: every lane observes and chooses for itself; 0: lane 0 for all."""
S_WORLD_SLOT: Final = 7
"""The expert that plays the environment, -1 for none."""
S_MIDDLE_2: Final = 8
"""Twice the middle of the reward range: a step whose doubled reward is above is a win."""
SETTINGS: Final = 12

# Cells of the rates that the mid path goes by, int64.
ETA_Q16: Final = 0
GAMMA_Q30: Final = 1
LITERAL: Final = 2
"""1: the literal rule of [core 7.1]; 0: IX."""
LEAST: Final = 3
"""Reward of a loss of 1."""
GREATEST: Final = 4
"""Reward of a loss of 0."""
RATES: Final = 8

# Streams of random tickets under the machine's key; lane l chooses from stream l.
STREAM_NOISE: Final = 1 << 32
"""Noise for word w of the i-th noise bit: STREAM_NOISE + (i << 24 | w)."""
STREAM_ROUNDING: Final = 1 << 60
"""Rounding of charges."""

FAULT_NO_CANDIDATE: Final = -21
"""The ANN unit found no expert."""
