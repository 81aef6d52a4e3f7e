"""Promotion policies in files, TOML or JSON: read with the line of every fault."""

from pathlib import Path

from registry.promotion_policy import PromotionPolicy, find_fault
from registry.source_file import read_source


def read_promotion_policy(path: Path, roles: frozenset[str]) -> PromotionPolicy:
    """Read a policy from a file that ends in `.toml` or `.json`, with the roles that there are.

    Raises Rejected("promotion-policy") with the file, the line and the reason.
    """
    source = read_source(path, "promotion-policy")
    policy = source.read_as(PromotionPolicy)
    fault = find_fault(policy, roles)
    if fault is not None:
        raise source.fault(fault.place, fault.reason)
    return policy
