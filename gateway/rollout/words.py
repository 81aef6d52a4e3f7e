"""What a guard says, in a sentence for people."""

from math import exp

from registry.rollouts import Assessment, Guard, GuardKind, Judgement, Verdict

_MOST_E = 1e12  # beyond that nobody minds how much


def guard_name(guard: Guard) -> str:
    """Name a guard, as in `score of delay[0]`, among those of its plan.

    >>> guard_name(Guard(kind=GuardKind.LATENCY, margin=2.0, quantile=0.99))
    'latency p99'
    """
    place = guard.output or guard.metric or ""
    if guard.column is not None:
        place += f"[{guard.column}]"
    if guard.kind is GuardKind.LATENCY:
        return f"latency p{100 * guard.quantile:g}"
    return f"{guard.kind} of {place}" if place else guard.kind.value


def judgement_words(judgement: Judgement) -> str:
    """Say what a guard counted and what that amounts to.

    >>> judgement_words(Judgement(guard=Guard(kind=GuardKind.ERRORS, margin=2.0),
    ...     verdict=Verdict.WORSE, challenger=1000, champion=1010, events=(31, 9),
    ...     evidence_worse=4.5, evidence_fine=-9.0))
    'errors: 31 of 1,000 against 9 of 1,010 (e = 90)'
    """
    name = guard_name(judgement.guard)
    if judgement.low is not None and judgement.high is not None:
        return (
            f"{name}: the challenger's mean less the champion's is between"
            f" {judgement.low:.4g} and {judgement.high:.4g}"
        )
    evidence = _evidence(judgement)
    if judgement.guard.kind is GuardKind.AGREEMENT and judgement.events is not None:
        return f"{name}: {judgement.events[0]:,} of {judgement.challenger:,} pairs differ{evidence}"
    if judgement.events is not None:
        ours, theirs = judgement.events
        return (
            f"{name}: {ours:,} of {judgement.challenger:,} against"
            f" {theirs:,} of {judgement.champion:,}{evidence}"
        )
    return f"{name}: {judgement.challenger:,} values against {judgement.champion:,}{evidence}"


def why_worse(assessment: Assessment) -> str:
    """Say why a challenger is worse: what each guard that finds so says."""
    said = [one for one in assessment.judgements if one.verdict is Verdict.WORSE]
    return "the challenger is worse in " + "; in ".join(map(judgement_words, said))


def why_undecided(assessment: Assessment) -> str:
    """Say what has not been shown."""
    open_ones = [
        guard_name(one.guard) for one in assessment.judgements if one.verdict is Verdict.UNDECIDED
    ]
    if not open_ones:
        return "its requests or its time were too few"
    return f"undecided: {', '.join(open_ones)}"


def _evidence(judgement: Judgement) -> str:
    """Say the e-value of what was found."""
    is_worse = judgement.verdict is Verdict.WORSE
    log_e = judgement.evidence_worse if is_worse else judgement.evidence_fine
    if log_e is None or judgement.verdict is Verdict.UNDECIDED:
        return ""
    return f" (e = {min(_MOST_E, exp(min(log_e, 50.0))):,.0f})"
