"""The files in deploy/: `make lint` checks compose.yaml by its schema and slurm.sh by shellcheck, this the rest."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest

from assay.core.plain import yaml_of

ROOT = Path(__file__).parents[2]
JOB = yaml_of((ROOT / "deploy/kuberay.yaml").read_text(), "deploy/kuberay.yaml")
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
# the fields of KubeRay's API reference (ray.io/v1) that may be used here, by kind
FIELDS = {
    "RayJob": {"apiVersion", "kind", "metadata", "spec"},
    "RayJobSpec": {
        *("entrypoint", "runtimeEnvYAML", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"),
        *("rayClusterSpec", "submissionMode", "activeDeadlineSeconds"),
    },
    "RayClusterSpec": {"rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling"},
    "HeadGroupSpec": {"rayStartParams", "template"},
    "WorkerGroupSpec": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}


def test_the_job_of_kuberay_has_fields_that_there_are():
    found = {"RayJob": JOB, "RayJobSpec": JOB["spec"], "RayClusterSpec": CLUSTER, "HeadGroupSpec": GROUPS[0]}
    for kind, content in found.items():
        assert content.keys() <= FIELDS[kind], kind
    assert all(group.keys() <= FIELDS["WorkerGroupSpec"] for group in GROUPS[1:])
    assert all(isinstance(one, str) for group in GROUPS for one in group["rayStartParams"].values())
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.get("groupName", "head"))
def test_its_pods_are_what_kubernetes_takes(group):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
    kubernetes_validate.validate(pod, "1.35", strict=True)
    broken = {**pod, "spec": {**pod["spec"], "containers": [{"image": "without a name"}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.35", strict=True)


def test_ray_is_the_locked_one_and_secrets_are_named_and_not_set():
    locked = re.search(r"(?m)^ray==(\S+)", (ROOT / "requirements.lock").read_text())[1]
    assert CLUSTER["rayVersion"] == locked
    names = set(re.findall(r"\$\{(\w+)", (ROOT / "deploy/compose.yaml").read_text()))
    example = dict(re.findall(r"(?m)^(\w+)=(.*)$", (ROOT / "deploy/team.env.example").read_text()))
    assert example == dict.fromkeys(names, "")
