"""``qp_ours CASE FILE CYCLES``: our solver at cycles made of a case; writes the problems for the peers, prints its own times.

Each cycle: the pilot nodes of the case are moved by what random changes of the sources would do and by noise; their targets are
where they were, their limits and those of the sources' buses a little around. ``a``: limits of pilots, ``b``: and of buses.
A cycle that cannot keep all limits is left out, since the peers keep limits at any price.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from scada.apps.agc_avc.avc import quadratic
from scada.apps.agc_avc.avc.quadratic import VoltageProgramme

GAIN, LOADING, PILOT_PRICE, BUS_PRICE = 0.7, 0.05, 1e3, 1e4
DRIFT = 1.3
LIMIT, BUS_LIMIT = 0.0025, 0.02
"""Limits of voltages around those of the case, per unit."""
DEADBAND = 0.005
LARGEST = 500.0
"""Mvar; some machines of the case have no limits to speak of."""


def cycles(case: dict[str, np.ndarray], count: int, *, buses: bool) -> list[VoltageProgramme]:
    """Problems of a day's drift: each cycle a little further from the one before."""
    rng = np.random.default_rng(7)
    pilots, m = case["pilots"], len(case["pilots"])
    low, high = (np.clip(case[name], -LARGEST, LARGEST) for name in ("q_min", "q_max"))
    low, high = np.minimum(low, high), np.maximum(low, high)
    half = np.maximum(0.5 * (high - low), 1.0)
    q = np.clip(case["q"], low, high)
    step = np.maximum(0.2 * half, 1.0)
    scale = DEADBAND * np.concatenate([case["pilot_kv"], case["bus_kv"]]) if buses else DEADBAND * case["pilot_kv"]
    effect = np.asfortranarray((np.vstack([pilots, case["buses"]]) if buses else pilots) / scale[:, None])
    rows = len(effect)
    spread = DRIFT / float(np.std(effect[:m] @ (rng.normal(0, 1, len(q)) * half)))  # so that pilots are off by a dead band or two
    drift, noise, found, tried = rng.normal(0, spread, len(q)) * half, rng.normal(0, 0.1, rows), [], 0
    weight = np.concatenate([np.ones(m), np.zeros(rows - m)])
    price = np.where(weight > 0, PILOT_PRICE, BUS_PRICE)
    width = np.where(weight > 0, LIMIT, BUS_LIMIT) / DEADBAND
    while len(found) < count and tried < 20 * count:
        tried += 1
        away = effect @ drift + noise
        problem = VoltageProgramme(
            LOADING / half**2,
            LOADING * (q - 0.5 * (low + high)) / half**2,
            np.maximum(low - q, -step),
            np.minimum(high - q, step),
            effect,
            weight,
            np.where(weight > 0, -GAIN * away, 0.0),
            -width - away,
            width - away,
            price,
            price.copy(),
        )
        drift, noise = drift * 0.999 + rng.normal(0, 0.05 * spread, len(q)) * half, noise * 0.98 + rng.normal(0, 0.01, rows)
        kept = quadratic._hard(problem)  # noqa: SLF001 - what the peers can solve
        if kept is not None and kept.residual <= quadratic.KKT_TOLERANCE:
            found.append(problem)
    return found


def objective(problem: VoltageProgramme, x: np.ndarray) -> float:
    """What is minimised, where all limits are kept."""
    y = problem.effect @ x
    rows = problem.row_weight * (y - problem.target) ** 2
    return float((problem.weight * x**2 / 2 + problem.linear * x).sum() + rows.sum() / 2)


def timed(problems: list[VoltageProgramme], *, warm: bool) -> tuple[list[float], list[quadratic.VoltageSolution]]:
    """Times in ms of all but the first."""
    times, answers, start = [], [], None
    for problem in problems:
        begin = time.process_time()
        answers.append(quadratic.solve(problem, start))
        times.append(1e3 * (time.process_time() - begin))
        start = answers[-1].multiplier if warm else None
    return times[1:], answers


def main() -> None:
    """Measure, and write the problems."""
    quadratic.warm_up()
    case = dict(np.load(sys.argv[1]))
    count, answer, written = int(sys.argv[3]), {}, {}
    for variant, buses in (("a", False), ("b", True)):
        problems = cycles(case, count, buses=buses)
        first = problems[0]
        exact, gap = [], 0.0
        cold, answers = timed(problems, warm=False)
        warm, warm_answers = timed(problems, warm=True)
        for problem, found, again in zip(problems, answers, warm_answers, strict=True):
            judge = quadratic._hard(problem)  # noqa: SLF001
            assert judge is not None
            exact.append(judge.change)
            gap = max(gap, float(np.abs(found.change - judge.change).max()), float(np.abs(again.change - judge.change).max()))
        p = first.row_weight
        written |= {
            f"{variant}_h": np.diag(first.weight) + first.effect.T @ (p[:, None] * first.effect),
            f"{variant}_rows": first.effect,
            f"{variant}_f": np.array([one.linear - one.effect.T @ (p * one.target) for one in problems]),
            f"{variant}_low": np.array([np.concatenate([one.lower, one.row_lower]) for one in problems]),
            f"{variant}_high": np.array([np.concatenate([one.upper, one.row_upper]) for one in problems]),
            f"{variant}_x": np.array(exact),
        }
        at_limit = [
            int(((one.voltage >= problem.row_upper - 1e-7) | (one.voltage <= problem.row_lower + 1e-7)).sum())
            for one, problem in zip(answers, problems, strict=True)
        ]
        answer[variant] = {
            "cold": [min(cold), float(np.median(cold))],
            "warm": [min(warm), float(np.median(warm))],
            "gap": gap,
            "steps": [max(one.steps for one in answers), max(one.steps for one in warm_answers)],
            "methods": sorted({one.method for one in (*answers, *warm_answers)}),
            "active_set": sum(one.method != "newton" for one in answers),
            "at_limit": [min(at_limit), max(at_limit)],
            "kkt": max(one.residual for one in (*answers, *warm_answers)),
            "objective": max(
                abs(objective(problem, one.change) - objective(problem, x)) / max(abs(objective(problem, x)), 1e-12)
                for problem, one, x in zip(problems, answers, exact, strict=True)
            ),
        }
    np.savez(sys.argv[2], **written)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
