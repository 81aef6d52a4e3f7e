"""Every fault the registry raises, as one tree.

    RegistryError
    ├── NotFound             the thing named does not exist
    ├── Gone                 what was kept is kept no longer
    ├── Conflict             the request contradicts what is stored
    ├── NotAllowed           somebody else would have to do it
    ├── Rejected             a file or description may not become a version
    ├── InvalidRequest       a value cannot be accepted, whatever is stored
    ├── Damaged              stored bytes are not the bytes that were stored
    ├── NotPublished         no checkpoint covers it yet
    ├── LogKeyMissing        the log cannot be signed
    ├── StoreUnavailable     the store or the disk cannot answer now
    ├── StoreIncompatible    the store or its library must not be used
    └── JournalBroken        the journal can no longer say what is on disk

An error is complete when raised: it has a slug for machines, typed fields, and a sentence that says
what happened, with which thing, and what to do. No transport's status codes appear here.

`kinds` has the root and what others are kinds of; each other module, faults with one sort of thing.
"""

from registry.errors.kinds import (
    Conflict,
    Damaged,
    Gone,
    InvalidRequest,
    NotAllowed,
    NotFound,
    RegistryError,
    Rejected,
    StoreIncompatible,
    StoreUnavailable,
    clip,
)
from registry.errors.operating import (
    DeliveryNotFound,
    DestinationExists,
    DestinationNotFound,
    FindingNotFound,
    FindingNotOpen,
    KeyNotFound,
)
from registry.errors.promotions import (
    AlreadyChampion,
    ApprovalNeeded,
    ForceNotAllowed,
    PromotionDecided,
    PromotionExpired,
    PromotionHeld,
    PromotionNotFound,
    PromotionPending,
    PromotionStale,
    SelfApproval,
)
from registry.errors.records import (
    JournalBroken,
    JournalUnavailable,
    LogKeyMissing,
    NotPublished,
    PayloadDamaged,
    PayloadErased,
    PayloadExpired,
    PayloadKeyMissing,
    PayloadNotFound,
    RecordNotFound,
    SubjectNotFound,
    TileNotFound,
    UnderHold,
)
from registry.errors.rollouts import (
    LatencyUnmeasured,
    NoChampion,
    PlanRejected,
    RolloutNotFound,
    RolloutNotReady,
    RolloutOver,
    SharesExceeded,
    SignatureDiffers,
    VersionInRollout,
)
from registry.errors.versions import (
    AliasNotFound,
    ArtifactDamaged,
    ArtifactNotFound,
    ContractRejected,
    ModelNotFound,
    NothingToRollBackTo,
    StateChanged,
    VersionInUse,
    VersionNotFound,
    VersionRetired,
)

__all__ = [
    "AliasNotFound",
    "AlreadyChampion",
    "ApprovalNeeded",
    "ArtifactDamaged",
    "ArtifactNotFound",
    "Conflict",
    "ContractRejected",
    "Damaged",
    "DeliveryNotFound",
    "DestinationExists",
    "DestinationNotFound",
    "FindingNotFound",
    "FindingNotOpen",
    "ForceNotAllowed",
    "Gone",
    "InvalidRequest",
    "JournalBroken",
    "JournalUnavailable",
    "KeyNotFound",
    "LatencyUnmeasured",
    "LogKeyMissing",
    "ModelNotFound",
    "NoChampion",
    "NotAllowed",
    "NotFound",
    "NotPublished",
    "NothingToRollBackTo",
    "PayloadDamaged",
    "PayloadErased",
    "PayloadExpired",
    "PayloadKeyMissing",
    "PayloadNotFound",
    "PlanRejected",
    "PromotionDecided",
    "PromotionExpired",
    "PromotionHeld",
    "PromotionNotFound",
    "PromotionPending",
    "PromotionStale",
    "RecordNotFound",
    "RegistryError",
    "Rejected",
    "RolloutNotFound",
    "RolloutNotReady",
    "RolloutOver",
    "SelfApproval",
    "SharesExceeded",
    "SignatureDiffers",
    "StateChanged",
    "StoreIncompatible",
    "StoreUnavailable",
    "SubjectNotFound",
    "TileNotFound",
    "UnderHold",
    "VersionInRollout",
    "VersionInUse",
    "VersionNotFound",
    "VersionRetired",
    "clip",
]
