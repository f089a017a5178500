"""Who may speak to whom under the network policies of a namespace, as Kubernetes reads them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Peer", "allowed"]

HOME = "rayboot"


class Peer(NamedTuple):
    """A pod: its labels, and the namespace that it is in."""

    labels: dict[str, str]
    namespace: str = HOME


def allowed(policies: Sequence[dict[str, Any]], source: Peer, target: Peer, port: int) -> bool:
    """Whether a connection over TCP is let out of its source and into its target.

    Policies of the namespace guard its own pods alone.
    """
    return _passes(policies, source, target, port, "Egress") and _passes(
        policies, target, source, port, "Ingress"
    )


def _passes(
    policies: Sequence[dict[str, Any]], own: Peer, other: Peer, port: int, way: str
) -> bool:
    if own.namespace != HOME:
        return True
    guarding = [
        policy["spec"]
        for policy in policies
        if way in policy["spec"]["policyTypes"] and _fits(policy["spec"]["podSelector"], own.labels)
    ]
    if not guarding:
        return True
    rules = [rule for spec in guarding for rule in spec.get(way.lower(), [])]
    peers = "from" if way == "Ingress" else "to"
    return any(_takes_port(rule, port) and _names(rule.get(peers), other) for rule in rules)


def _takes_port(rule: dict[str, Any], port: int) -> bool:
    ports = rule.get("ports")
    return ports is None or any(
        entry["port"] == port and entry.get("protocol", "TCP") == "TCP" for entry in ports
    )


def _names(peers: list[dict[str, Any]] | None, other: Peer) -> bool:
    # A rule without peers lets everybody through.
    return peers is None or any(_is(peer, other) for peer in peers)


def _is(peer: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        # Addresses of pods are not known here; blocks in these policies are meant for the outside.
        return False
    if "namespaceSelector" in peer:
        name = {"kubernetes.io/metadata.name": other.namespace}
        if not _fits(peer["namespaceSelector"], name):
            return False
    elif other.namespace != HOME:
        return False
    return _fits(peer.get("podSelector", {}), other.labels)


def _fits(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        _holds(condition, labels) for condition in selector.get("matchExpressions", [])
    )


def _holds(condition: dict[str, Any], labels: dict[str, str]) -> bool:
    key = condition["key"]
    if condition["operator"] == "Exists":
        return key in labels
    if condition["operator"] == "In":
        return labels.get(key) in condition["values"]
    raise ValueError(f"operator {condition['operator']} is not known here")
