"""Connections that the network policies in infra/kubernetes allow."""

from functools import cache

import pytest

from tests.infra.manifests import Manifest, of_kind, pods
from tests.infra.policies import Peer, allowed

CLEAN_UP = {"ray.io/node-type": "redis-cleanup"}


def policies() -> list[Manifest]:
    return of_kind("small", "NetworkPolicy")


@cache
def peers() -> dict[str, Peer]:
    """Returns the pods of the namespace, and some that could be added."""
    pods_by_name = {pod.owner: Peer(pod.labels) for pod in [*pods("small"), *pods("small/round")]}
    for name in ("kuberay-operator", "prometheus", "stranger"):
        pods_by_name[name] = Peer({"app.kubernetes.io/name": name})
    # The operator creates it with the labels of the head.
    pods_by_name["clean-up"] = Peer(pods_by_name["head"].labels | CLEAN_UP)
    return pods_by_name


GCS, DASHBOARD, METRICS, MLFLOW, POSTGRES, REDIS = 6379, 8265, 8080, 5000, 5432, 6379
SERVICES = {
    ("head", GCS),
    ("head", DASHBOARD),
    ("head", 10001),
    ("head", METRICS),
    ("gpu", 12345),
    ("mlflow", MLFLOW),
    ("postgres", POSTGRES),
    ("redis", REDIS),
    ("prometheus", 9090),
}

# Exactly the connections that are needed: source, target, port.
NEEDED = {
    ("gpu", "head", GCS),
    ("gpu", "head", 10001),
    ("gpu", "head", DASHBOARD),
    ("gpu", "head", METRICS),
    ("gpu", "gpu", 12345),
    ("gpu", "mlflow", MLFLOW),
    ("cpu", "head", GCS),
    ("cpu", "head", 10001),
    ("cpu", "head", DASHBOARD),
    ("cpu", "head", METRICS),
    ("cpu", "gpu", 12345),
    ("cpu", "mlflow", MLFLOW),
    ("head", "head", GCS),
    ("head", "head", 10001),
    ("head", "head", DASHBOARD),
    ("head", "head", METRICS),
    ("head", "gpu", 12345),
    ("head", "mlflow", MLFLOW),
    ("head", "redis", REDIS),
    ("clean-up", "redis", REDIS),
    ("submitter", "head", DASHBOARD),
    ("kuberay-operator", "head", DASHBOARD),
    ("mlflow", "postgres", POSTGRES),
    ("prometheus", "head", METRICS),
}


def test_connections_without_a_rule_are_denied() -> None:
    (default,) = (p for p in policies() if p["metadata"]["name"] == "default-deny")
    assert default["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_exactly_the_needed_connections_are_allowed_in_the_namespace() -> None:
    allowed_connections = {
        (source, target, port)
        for source in peers()
        for target, port in SERVICES
        if allowed(policies(), peers()[source], peers()[target], port)
    }
    # The clean-up pod has the labels of a Ray pod, which may connect to the others.
    allowed_connections = {
        (source, target, port)
        for source, target, port in allowed_connections
        if source != "clean-up" or target == "redis"
    }
    assert allowed_connections == NEEDED


@pytest.mark.parametrize(("target", "port"), sorted(SERVICES))
def test_nothing_is_reached_from_another_namespace(target: str, port: int) -> None:
    # Labels of pods that are allowed have no effect in another namespace.
    for peer in peers().values():
        for namespace in ("default", "kube-system", "monitoring"):
            outside = Peer(peer.labels, namespace)
            assert not allowed(policies(), outside, peers()[target], port)


def test_nothing_is_reached_from_outside_the_cluster() -> None:
    for policy in policies():
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"]
            assert all("ipBlock" not in peer for peer in rule["from"])
    for folder in ("small", "ls3d-w"):
        assert {m["spec"].get("type", "ClusterIP") for m in of_kind(folder, "Service")} == {
            "ClusterIP"
        }
        assert not of_kind(folder, "Ingress")
        for cluster in of_kind(folder, "RayCluster"):
            head = cluster["spec"]["headGroupSpec"]
            assert head["serviceType"] == "ClusterIP" and not head.get("enableIngress")


def test_dns_is_allowed_only_to_the_cluster_dns() -> None:
    dns = Peer({"k8s-app": "kube-dns"}, "kube-system")
    assert all(allowed(policies(), peer, dns, 53) for peer in peers().values())
    elsewhere = Peer({"k8s-app": "kube-dns"}, "default")
    assert not any(allowed(policies(), peer, elsewhere, 53) for peer in peers().values())


def test_the_metadata_service_of_the_nodes_is_denied() -> None:
    for policy in policies():
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0":
                    assert block["except"] == ["169.254.0.0/16"]
                elif block:
                    assert block["cidr"] in ("169.254.170.23/32", "169.254.20.10/32")
