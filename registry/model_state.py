"""The state of a model, named by a tag: another tag, another state."""

from hashlib import sha256

import msgspec

from registry.reader import Reader

_DIGITS = 32


def state_tag(view: Reader, model: str) -> str:
    """Name all that can be changed of a model: versions, aliases, settings, what is under way.

    What nobody asked for changes it too: a rollout that goes on, a request that expires.
    """
    history = view.alias_changes(model)
    state = (
        [(one.number, one.state) for one in view.versions(model)],
        history[-1].record_id if history else None,
        [(one.name, one.value) for one in view.settings() if one.model == model],
        [
            (one.id, one.phase, one.stage, one.is_paused)
            for one in view.open_rollouts()
            if one.model == model
        ],
        [one.id for one in view.promotions(model, only_pending=True)],
    )
    return sha256(msgspec.json.encode(state)).hexdigest()[:_DIGITS]
