"""How much does the contextual bandit lose to ignorance, against vowpalwabbit at its best?

A world has 4 arms and contexts of 8 random bits, seen as features of -1 and 1. Every arm has nine
integer weights from -8 to 8, one of them constant; the score of an arm is its weights times the
features, and the arm with the highest score, of equals the first, is the best of a context. What
arms pay is one of two families:

    `CHAMPION`  the best arm pays 1 with probability 0.8, the others with 0.2. Scores decide no more
                than which arm is best, so no model that is linear in the features describes the
                pay: this favours whoever can correct by context, with cells or interactions.
    `LOGISTIC`  every arm pays 1 with probability 1 / (1 + exp(-score / 8)). A logistic model per
                arm is exactly right: this favours whoever learns one quickly, and nearly even arms
                cost little.

Regret is the best arm's probability less the chosen arm's, summed over rounds: the luck of a
payment does not enter. In worlds with changes all weights are drawn anew at four rounds that no
learner is told, each within a twentieth of the run of its fifth. The settings of ours, one for
either family, were chosen on seeds below 1000; the rows run on seeds from 1000 on.

vowpalwabbit runs each configuration of the family, and the one with the least regret on the very
worlds of the row counts. Among those for champions most have its interactions of two, three and
four features. Its own simulator (`--cbify`) chooses, draws and learns ten times quicker than
`predict` and `learn` round by round, which had 3 to 6 % less regret in six logistic worlds, and 4 %
more over 30,000 rounds of one of champions. In worlds with changes river's ADWIN, as it comes,
watches the costs that were paid; when it answers and they have risen, vowpalwabbit starts anew.

Ours is told the family, as vowpalwabbit's configurations are chosen for it: among champions it has
the model of `bem_kernel.policy.champion`, which is exactly right there, and cells. With cells and a
logistic model per arm it had 1.5 times that regret on seeds below 1000. `machine.bandit_numbered`
is the hardest peer for champions: vowpalwabbit is given the number of the context as one more
feature, by which it can correct every context on its own, as our cells do. That is knowledge about
the world, not one of its configurations, so it has a row of its own; ours had 0.61 of its regret in
six worlds, and with changes 0.57 in one.

What these worlds do not show. With ADWIN's delta chosen in hindsight (0.05) the peer gains 5 % in
logistic worlds. With features between -1 and 1 in place of bits, ours has about 0.35 of
vowpalwabbit's regret in logistic worlds without changes and 0.5 with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARMS, FEATURES, ROUNDS, SEGMENTS = 4, 8, 100_000, 5
HELD_OUT = 1000  # first seed of the worlds that nothing was tuned on
DETECT_WITHIN = 128  # rounds
CHAMPION_PAYS, OTHERS_PAY = 0.8, 0.2

_CUBIC = "--interactions xx --interactions xxx"
INTERACTING = (
    "--squarecb --gamma_scale 1000 --elim",
    "--squarecb --gamma_scale 1000 --elim -q xx",
    f"--squarecb --gamma_scale 1000 --elim {_CUBIC} -l 0.25",
    "--regcbopt --mellowness 0.001",
    f"--regcbopt --mellowness 0.001 {_CUBIC}",
    f"--regcbopt --mellowness 0.001 {_CUBIC} -l 0.25",
    f"--regcbopt --mellowness 0.01 {_CUBIC}",
    f"--regcbopt --mellowness 0.01 {_CUBIC} --interactions xxxx -l 0.25",
    f"--softmax --lambda 20 {_CUBIC}",
    f"--bag 5 {_CUBIC}",
    f"--epsilon 0.02 {_CUBIC}",
    f"--first 2000 {_CUBIC}",
)
LINEAR = (
    "--epsilon 0.02",
    "--first 500",
    "--bag 5",
    "--cover 5 --epsilon 0.01",
    "--softmax --lambda 20",
    "--squarecb",
    "--squarecb --gamma_scale 1000",
    "--squarecb --gamma_scale 1000 --elim",
    "--squarecb --gamma_scale 1000 --elim -l 0.25",
    "--regcb --mellowness 0.001",
    "--regcbopt --mellowness 0.01",
    "--regcbopt --mellowness 0.001",
    "--regcbopt --mellowness 0.001 -l 0.25",
    "--regcbopt --mellowness 0.001 -l 1",
    "--regcbopt --mellowness 0.001 -q xx",
    "--squarecb --gamma_scale 1000 --elim --ignore k",
    "--regcbopt --mellowness 0.001 --ignore k",
)


@dataclass(frozen=True)
class Family:
    """Worlds of one kind.

    Attributes:
        champion: whether only the best arm pays well; else every arm by its own score.
        settings: of our bandit, chosen on seeds below `HELD_OUT`.
        configurations: of vowpalwabbit.
    """

    champion: bool
    settings: Mapping[str, Any]
    configurations: tuple[str, ...]

    def odds(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rounds, arms) probabilities that an arm pays, from scores of the same shape."""
        import numpy as np

        if not self.champion:
            return np.asarray(1 / (1 + np.exp(-scores / 8)))
        best = np.arange(ARMS) == scores.argmax(axis=1)[:, None]
        return np.where(best, CHAMPION_PAYS, OTHERS_PAY)


CHAMPION = Family(
    champion=True,
    settings={
        "champion": True,
        "cell_bits": FEATURES,
        "cell_prior_q16": 65536,
        "prior_q16": 65536,
        "octaves": 22,
    },
    configurations=INTERACTING,
)
NUMBERED = replace(CHAMPION, configurations=LINEAR)
LOGISTIC = Family(champion=False, settings={}, configurations=LINEAR)


@dataclass(frozen=True)
class World:
    """A world, played out.

    Attributes:
        features: (rounds, 8) int64, -1 or 1.
        odds: (rounds, 4), probability that an arm pays.
        paid: (rounds, 4) int64, what it would pay, 0 or 1.
        changes: rounds at which the weights were drawn anew.
    """

    features: NDArray[np.int64]
    odds: NDArray[np.float64]
    paid: NDArray[np.int64]
    changes: tuple[int, ...]

    def regret(self, chosen: NDArray[np.int64]) -> float:
        """Regret of a run's (rounds,) arms by true expected reward."""
        taken = self.odds[range(len(chosen)), chosen]
        return float((self.odds.max(axis=1) - taken).sum())

    def examples(self, numbered: bool) -> list[str]:
        """One line per round in vowpalwabbit's format: each arm's cost, then the features.

        Features have names that are not numbers: with `f0` as `0` the arms would share weights. A
        second constant, in the namespace k, makes it learn the arms' constants sooner. `numbered`
        adds a namespace c with a feature that only this context has.
        """
        lines = []
        for x, paid in zip(self.features.tolist(), self.paid.tolist(), strict=True):
            costs = " ".join(f"{arm + 1}:{1 - pays}" for arm, pays in enumerate(paid))
            values = " ".join(f"f{i}:{v}" for i, v in enumerate(x))
            number = "".join("01"[v > 0] for v in x)
            lines.append(f"{costs} |x {values} |k one{f' |c c{number}' * numbered}\n")
        return lines


def make_world(family: Family, seed: int, segments: int) -> World:
    """Play out a world of a family whose weights are drawn `segments` times."""
    import numpy as np

    rng = np.random.default_rng(seed)
    fifth, leeway = ROUNDS // segments, ROUNDS // 20
    changes = [fifth * k + int(rng.integers(-leeway, leeway + 1)) for k in range(1, segments)]
    features = rng.integers(0, 2, (ROUNDS, FEATURES)) * 2 - 1
    scores = np.empty((ROUNDS, ARMS))
    for start, end in zip([0, *changes], [*changes, ROUNDS], strict=True):
        weights = rng.integers(-8, 9, (ARMS, FEATURES + 1))
        scores[start:end] = features[start:end] @ weights[:, :-1].T + weights[:, -1]
    odds = family.odds(scores)
    paid = (rng.random((ROUNDS, ARMS)) < odds).astype(np.int64)
    return World(features, odds, paid, tuple(changes))


def run_ours(
    family: Family, world: World, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Arms that our bandit chose, and where it found a change."""
    from bem_kernel.policy.contextual import BanditConfig, ContextualBandit

    bandit = ContextualBandit(BanditConfig(ARMS, FEATURES, key=seed, **family.settings))
    return bandit.run(world.features * 32768, world.paid * 65536)


def run_peer(configuration: str, lines: list[str], folder: Path) -> NDArray[np.int64]:
    """Arms that vowpalwabbit chose over the rounds of `lines`."""
    import numpy as np
    import vowpalwabbit

    data, predictions = folder / "rounds.txt", folder / "arms.txt"
    data.write_text("".join(lines), encoding="ascii")
    simulator = f"--cbify {ARMS} --cbify_cs --cb_explore_adf --random_seed 1 --quiet"
    run = f"{simulator} {configuration} -d {data} -p {predictions}"
    vowpalwabbit.Workspace(run).finish()
    return np.array(predictions.read_text(encoding="ascii").split(), dtype=np.int64) - 1


def run_peer_with_restarts(
    configuration: str, world: World, lines: list[str], folder: Path
) -> NDArray[np.int64]:
    """Arms that vowpalwabbit chose, started anew where ADWIN finds that costs have risen.

    What vowpalwabbit does does not depend on ADWIN before it answers, so each life is simulated
    over the rounds to come, and cut where ADWIN answers.
    """
    import numpy as np

    chosen: NDArray[np.int64] = np.zeros(ROUNDS, dtype=np.int64)
    start, horizon = 0, 2 * ROUNDS // SEGMENTS
    while start < ROUNDS:
        end = min(start + horizon, ROUNDS)
        arms = run_peer(configuration, lines[start:end], folder)
        found = _first_rise(1 - world.paid[range(start, end), arms])
        if found is None and end < ROUNDS:
            horizon *= 2  # no answer so far: simulate this life for longer
            continue
        end = end if found is None else start + found
        chosen[start:end] = arms[: end - start]
        start, horizon = end, 2 * ROUNDS // SEGMENTS
    return chosen


def _first_rise(costs: NDArray[np.int64]) -> int | None:
    """Number of costs after which ADWIN answers that their mean has risen; None if it does not."""
    from river.drift import ADWIN

    detector = ADWIN()
    for i, cost in enumerate(costs.tolist()):
        before = detector.estimation
        detector.update(cost)
        if detector.drift_detected and detector.estimation > before:
            return i + 1
    return None


def _compare(context: Context, family: Family, segments: int) -> Measured:
    """Regret of ours, and of the configuration with the least regret over all worlds."""
    ours: list[float] = []
    peers: dict[str, list[float]] = {configuration: [] for configuration in family.configurations}
    with tempfile.TemporaryDirectory() as name:
        for k in range(8 if context.full else 2):
            seed = HELD_OUT + 100 * context.seed + k
            world = make_world(family, seed, segments)
            lines = world.examples(numbered=family is NUMBERED)
            ours.append(world.regret(run_ours(family, world, seed)[0]))
            for configuration, regrets in peers.items():
                if segments == 1:
                    arms = run_peer(configuration, lines, Path(name))
                else:
                    arms = run_peer_with_restarts(configuration, world, lines, Path(name))
                regrets.append(world.regret(arms))
    return Measured(ours=ours, peer=min(peers.values(), key=sum))


def _slowest_answers(context: Context, family: Family) -> Measured:
    """Rounds to the answer to the slowest of four changes, world by world."""
    import numpy as np

    slowest = []
    for k in range(32 if context.full else 8):
        seed = HELD_OUT + 100 * context.seed + k
        world = make_world(family, seed, SEGMENTS)
        answers = np.flatnonzero(run_ours(family, world, seed)[1])
        ends = [*world.changes[1:], ROUNDS]
        delays = []
        for change, end in zip(world.changes, ends, strict=True):
            after = answers[(answers >= change) & (answers < end)]
            delays.append(int(after[0]) - change + 1 if len(after) else end - change)
        slowest.append(max(delays))
    return Measured(ours=slowest, peer=[DETECT_WITHIN] * len(slowest))


_BEST = "vowpalwabbit, best of {}"
_RESTARTED = _BEST + ", restarted by ADWIN"


@row(
    "machine.bandit",
    peer_name=_BEST.format(len(INTERACTING)),
    unit="regret",
    target=2.0,
    better="less",
)
def bandit(context: Context) -> Measured:
    """Regret of 100,000 rounds in champions' worlds that do not change."""
    return _compare(context, CHAMPION, segments=1)


@row(
    "machine.bandit_changes",
    peer_name=_RESTARTED.format(len(INTERACTING)),
    unit="regret",
    target=2.5,
    better="less",
)
def bandit_changes(context: Context) -> Measured:
    """Regret of 100,000 rounds in champions' worlds that change four times."""
    return _compare(context, CHAMPION, SEGMENTS)


@row("machine.bandit_detection", peer_name="limit", unit="rounds", target=1.0, better="less")
def bandit_detection(context: Context) -> Measured:
    """Rounds to the answer to a change in champions' worlds."""
    return _slowest_answers(context, CHAMPION)


@row(
    "machine.bandit_numbered",
    peer_name=_BEST.format(len(LINEAR)) + ", given the context's number",
    unit="regret",
    target=2.0,
    better="less",
)
def bandit_numbered(context: Context) -> Measured:
    """Regret of 100,000 rounds in champions' worlds, against a peer that has cells too."""
    return _compare(context, NUMBERED, segments=1)


@row(
    "machine.bandit_logistic",
    peer_name=_BEST.format(len(LINEAR)),
    unit="regret",
    target=2.0,
    better="less",
)
def bandit_logistic(context: Context) -> Measured:
    """Regret of 100,000 rounds in logistic worlds that do not change."""
    return _compare(context, LOGISTIC, segments=1)


@row(
    "machine.bandit_logistic_changes",
    peer_name=_RESTARTED.format(len(LINEAR)),
    unit="regret",
    target=2.5,
    better="less",
)
def bandit_logistic_changes(context: Context) -> Measured:
    """Regret of 100,000 rounds in logistic worlds that change four times."""
    return _compare(context, LOGISTIC, SEGMENTS)


@row(
    "machine.bandit_logistic_detection",
    peer_name="limit",
    unit="rounds",
    target=1.0,
    better="less",
)
def bandit_logistic_detection(context: Context) -> Measured:
    """Rounds to the answer to a change in logistic worlds."""
    return _slowest_answers(context, LOGISTIC)
