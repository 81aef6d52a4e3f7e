"""Faults with models, versions, aliases and artifacts."""

from registry.errors.kinds import Conflict, Damaged, NotFound, Rejected, clip


class ModelNotFound(NotFound):
    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"There is no model {clip(model)!r}.")


class VersionNotFound(NotFound):
    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Model {model!r} has no version {version}.")


class AliasNotFound(NotFound):
    def __init__(self, model: str, alias: str) -> None:
        self.model, self.alias = model, alias
        super().__init__(f"Model {model!r} has no alias {clip(alias)!r}.")


class ArtifactNotFound(NotFound):
    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"No artifact {digest} is stored.")


class VersionInUse(Conflict):
    slug = "version-in-use"

    def __init__(self, model: str, version: int, aliases: list[str]) -> None:
        self.model, self.version, self.aliases = model, version, aliases
        names = ", ".join(aliases)
        super().__init__(
            f"Version {version} of {model!r} is named by the alias {names}; move the alias first."
        )


class VersionRetired(Conflict):
    slug = "version-retired"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Version {version} of {model!r} is retired; publish it anew to use it.")


class NothingToRollBackTo(Conflict):
    slug = "nothing-to-roll-back-to"

    def __init__(self, model: str, version: int | None) -> None:
        self.model, self.version = model, version
        wanted = "an earlier version" if version is None else f"version {version}"
        super().__init__(
            f"Model {model!r} cannot roll back: {wanted} was not champion before the present one."
        )


class StateChanged(Conflict):
    slug = "state-changed"

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"Model {model!r} is not in the state that `If-Match` names; look at it again."
        )


class ContractRejected(Rejected):
    """A rule of a contract that cannot hold: where it stands, and the member to blame, if any.

    `section` is `rules` or `outputs` and `number` counts from 1 there; both say nothing of a member
    of the contract itself.
    """

    def __init__(self, section: str, number: int, fault: str, member: str | None = None) -> None:
        self.section, self.number, self.fault, self.member = section, number, fault, member
        place = {"rules": f"Rule {number} of the contract, ", "": "The contract: "}.get(
            section, f"Rule {number} on the outputs in the contract, "
        )
        super().__init__("contract", f"{place}{fault}.")


class ArtifactDamaged(Damaged):
    def __init__(self, digest: str, found: str) -> None:
        self.digest, self.found = digest, found
        super().__init__(f"Artifact {digest} reads as {found}; restore it from a copy.")
