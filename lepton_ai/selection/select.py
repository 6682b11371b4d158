"""The best of several models, and how sure that is."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from lepton_ai.core import ConfigError
from lepton_ai.evaluation import Candidate, Measure, Selection, adjusted, compare, get_measure
from lepton_ai.selection.cross_validation import Build, cross_validate


def select(
    builds: Mapping[str, Build],
    x: Any,
    y: npt.ArrayLike,
    measure: str | Measure = "accuracy",
    *,
    folds: int = 5,
    stratify: Any = None,
    groups: Any = None,
    time: Any = None,
    seed: int = 0,
    **fit: Any,
) -> Selection:
    """Cross-validate several ways to make a model on the same folds, and compare each with the best, row by row.

    The p-values are corrected for the number of candidates (Holm). The best score of several is an optimistic guess
    of what the winner will do: keep a test set that was not part of `x`.

    Args:
        builds: as `build` of `cross_validate`, by name.

    Raises: ConfigError for fewer than two; as `cross_validate`.
    """
    if len(builds) < 2:
        raise ConfigError(at="select", got=sorted(builds), expected="at least two ways to make a model")
    judged = get_measure(measure)
    results = {
        name: cross_validate(
            build, x, y, judged, folds=folds, stratify=stratify, groups=groups, time=time, seed=seed, **fit
        )
        for name, build in builds.items()
    }
    ranked = sorted(results, key=lambda name: -results[name].mean if judged.rising else results[name].mean)
    best = results[ranked[0]]
    against = [
        compare(best.answers, results[name].answers, best.targets, judged, parts=best.parts, seed=seed)
        for name in ranked[1:]
    ]
    corrected = adjusted([each.p_value for each in against])
    others = [
        Candidate(name=name, result=results[name], against_best=comparison, p_adjusted=p)
        for name, comparison, p in zip(ranked[1:], against, corrected, strict=True)
    ]
    candidates = (Candidate(name=ranked[0], result=best), *others)
    return Selection(measure=judged.name, best=ranked[0], candidates=candidates)
