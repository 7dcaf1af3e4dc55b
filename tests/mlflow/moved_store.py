"""Writes a store through the stock MLflow client, or tells all that stores hold, in words without their ids.

usage: moved_store.py write URI
       moved_store.py dump URI...     one JSON line a store
"""

import hashlib
import json
import os
import sys
import tempfile

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from onnx import TensorProto, helper


def network():
    """One that doubles its input."""
    shape = ["N", 2]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("moved ä", tags={"team": "a"})
    mlflow.set_experiment("moved ä")
    with mlflow.start_run(run_name="parent", tags={"note": "first\nsecond"}) as parent:
        mlflow.log_params({"a": "x", "nested/b": "", "seed": 7})
        with mlflow.start_run(run_name="child", nested=True) as child:
            for step, value in enumerate([0.1 + 0.2, float("nan"), 1e-300, -7.0]):
                client.log_metric(child.info.run_id, "val/loss", value, timestamp=1000 + step, step=step)
            mlflow.log_text("hällo", "notes/deep/a.txt")
            mlflow.log_dict({"b": 1}, "b.json")
            example = np.array([[1.0, 2.0]], dtype=np.float32)
            info = mlflow.onnx.log_model(
                network(),
                name="net",
                input_example=example,
                signature=mlflow.models.infer_signature(example, example),
                params={"width": "2"},
                registered_model_name="moved",
                tags={"kind": "doubling"},
            )
            client.log_metric(child.info.run_id, "of_model", 0.5, timestamp=5, step=1, model_id=info.model_id)
            dataset = Dataset(name="cifar10", digest="d1", source_type="local", source="{}", schema="s", profile="p")
            tags = [InputTag(key="mlflow.data.context", value="training")]
            client.log_inputs(child.info.run_id, [DatasetInput(dataset, tags)])
    client.set_terminated(child.info.run_id, "FAILED", end_time=123_456)
    gone = client.create_run(experiment, run_name="gone")
    client.log_batch(gone.info.run_id, [Metric("m", 1.0, 1, 0)], [Param("p", "1")], [RunTag("t", "1")])
    client.delete_run(gone.info.run_id)
    client.update_registered_model("moved", "described")
    client.set_registered_model_tag("moved", "owner", "ada")
    client.set_model_version_tag("moved", "1", "checked", "yes")
    client.update_model_version("moved", "1", "the first")
    client.set_registered_model_alias("moved", "champion", "1")
    client.transition_model_version_stage("moved", "1", "Production")


def files_of(client, listing, download):
    """Digests of files by path; MLmodel names ids and times, so its length in lines stands for it."""
    found = {}
    folders = [""]
    while folders:
        for entry in listing(folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
                continue
            with open(download(entry.path), "rb") as file:
                found[entry.path] = hashlib.sha256(file.read()).hexdigest()
    return found


def dump(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient(uri)
    names = {}
    told = {"experiments": [], "models": []}
    own = ("cifar.", "mlflow.modelVersions", "mlflow.log-model.history")
    tags_of = lambda tags: {key: names.get(value, value) for key, value in tags.items() if not key.startswith(own)}
    number = lambda value: repr(float(value))
    for experiment in sorted(client.search_experiments(view_type=ViewType.ALL), key=lambda e: e.name):
        runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
        names.update({run.info.run_id: run.info.run_name for run in runs})
        logged = client.search_logged_models([experiment.experiment_id])
        names.update({model.model_id: model.name for model in logged})
        kept = {"name": experiment.name, "tags": tags_of(experiment.tags), "runs": [], "logged": []}
        for run in sorted(runs, key=lambda run: run.info.run_name):
            id = run.info.run_id
            with tempfile.TemporaryDirectory() as folder:
                files = {}
                if run.info.lifecycle_stage == "active":
                    download = lambda path: client.download_artifacts(id, path, folder)
                    files = files_of(client, lambda path: client.list_artifacts(id, path or None), download)
            kept["runs"].append({
                "name": run.info.run_name,
                "status": run.info.status,
                "times": [run.info.start_time, run.info.end_time],
                "stage": run.info.lifecycle_stage,
                "user": run.info.user_id,
                "params": run.data.params,
                "tags": tags_of(run.data.tags),
                "metrics": {
                    key: points(client.get_metric_history(id, key))
                    for key in sorted(run.data.metrics)
                },
                "datasets": [
                    [*dict(each.dataset).values(), [[tag.key, tag.value] for tag in each.tags]]
                    for each in run.inputs.dataset_inputs
                ],
                "made": [[names.get(each.model_id), each.step] for each in run.outputs.model_outputs],
                "files": files,
            })
        for model in logged:
            folder = mlflow.artifacts.download_artifacts(f"models:/{model.model_id}")
            paths = sorted(os.path.relpath(os.path.join(at, f), folder) for at, _, fs in os.walk(folder) for f in fs)
            kept["logged"].append({
                "name": model.name,
                "status": str(model.status),
                "type": model.model_type or None,
                "run": names.get(model.source_run_id),
                "params": model.params,
                "tags": tags_of(model.tags),
                "metrics": sorted([m.key, number(m.value), m.step, m.timestamp, names.get(m.run_id)] for m in model.metrics),
                "files": [p for p in paths if p != "registered_model_meta"],
                "doubles": predicted(f"models:/{model.model_id}"),
            })
        told["experiments"].append(kept)
    for model in client.search_registered_models():
        told["models"].append({
            "name": model.name,
            "description": model.description,
            "tags": tags_of(model.tags),
            "aliases": {alias: str(version) for alias, version in model.aliases.items()},
            "versions": [
                {
                    "version": str(version.version),
                    "description": version.description,
                    "stage": version.current_stage,
                    "run": names.get(version.run_id),
                    "tags": tags_of(version.tags),
                }
                for version in client.search_model_versions(f"name = '{model.name}'")
            ],
            "doubles": predicted(f"models:/{model.name}@champion"),
        })
    return told


def points(history):
    """In the order of time; folders hold a point twice that was logged twice, databases once."""
    return sorted({(m.timestamp, m.step, repr(float(m.value))) for m in history})


def predicted(uri):
    answer = mlflow.pyfunc.load_model(uri).predict(np.array([[1.0, 2.0]], dtype=np.float32))
    return np.asarray(list(answer.values())[0]).tolist()


command, *uris = sys.argv[1:]
if command == "write":
    write(*uris)
else:
    for uri in uris:
        print("STORE " + json.dumps(dump(uri), sort_keys=True))
