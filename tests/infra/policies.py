"""Connections that the network policies of a namespace allow, as Kubernetes interprets them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Peer", "allowed"]

HOME = "rayboot"


class Peer(NamedTuple):
    """A pod: its labels and its namespace."""

    labels: dict[str, str]
    namespace: str = HOME


def allowed(policies: Sequence[dict[str, Any]], source: Peer, target: Peer, port: int) -> bool:
    """Whether policies allow a TCP connection, both at its source and at its target.

    The policies of the namespace apply only to its own pods.
    """
    return _is_allowed(policies, source, target, port, "Egress") and _is_allowed(
        policies, target, source, port, "Ingress"
    )


def _is_allowed(
    policies: Sequence[dict[str, Any]], own: Peer, other: Peer, port: int, direction: str
) -> bool:
    if own.namespace != HOME:
        return True
    applicable = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"]
        and _matches_labels(policy["spec"]["podSelector"], own.labels)
    ]
    if not applicable:
        return True
    rules = [rule for spec in applicable for rule in spec.get(direction.lower(), [])]
    peers = "from" if direction == "Ingress" else "to"
    return any(
        _includes_port(rule, port) and _includes_peer(rule.get(peers), other) for rule in rules
    )


def _includes_port(rule: dict[str, Any], port: int) -> bool:
    ports = rule.get("ports")
    return ports is None or any(
        entry["port"] == port and entry.get("protocol", "TCP") == "TCP" for entry in ports
    )


def _includes_peer(peers: list[dict[str, Any]] | None, other: Peer) -> bool:
    # A rule without peers allows all.
    return peers is None or any(_matches_peer(peer, other) for peer in peers)


def _matches_peer(peer: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        # The addresses of pods are unknown; the blocks in these policies are outside the cluster.
        return False
    if "namespaceSelector" in peer:
        name = {"kubernetes.io/metadata.name": other.namespace}
        if not _matches_labels(peer["namespaceSelector"], name):
            return False
    elif other.namespace != HOME:
        return False
    return _matches_labels(peer.get("podSelector", {}), other.labels)


def _matches_labels(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    matches = selector.get("matchLabels", {}).items() <= labels.items()
    return matches and all(
        _matches_condition(condition, labels) for condition in selector.get("matchExpressions", [])
    )


def _matches_condition(condition: dict[str, Any], labels: dict[str, str]) -> bool:
    key = condition["key"]
    if condition["operator"] == "Exists":
        return key in labels
    if condition["operator"] == "In":
        return labels.get(key) in condition["values"]
    raise ValueError(f"expected the operator Exists or In, got {condition['operator']}")
