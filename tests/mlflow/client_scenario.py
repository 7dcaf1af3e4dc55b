"""Uses a tracking server through the stock MLflow client, a group of calls after the other.

usage: client_scenario.py TRACKING_URI FOLDER
Prints one JSON line a group: {"group": ..., "error": null or a traceback}. The exit code is 1 when one failed.
"""

import json
import math
import os
import sys
import time
import traceback

uri, folder = sys.argv[1:]
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(6 * 1024 * 1024)
os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 * 1024 * 1024)
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "2"

import mlflow
import numpy as np
import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

mlflow.set_tracking_uri(uri)
mlflow.set_registry_uri(uri)
client = MlflowClient(uri)
groups = []


def group(function):
    groups.append(function)
    return function


def raises(code, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
        return str(error)
    raise AssertionError(f"no error, expected {code}")


@group
def experiments():
    assert client.get_experiment("0").name == "Default"
    first = client.create_experiment("scenario ä", tags={"team": "a"})
    assert client.get_experiment(first).tags == {"team": "a"}
    assert client.get_experiment_by_name("scenario ä").experiment_id == first
    assert client.get_experiment_by_name("none") is None
    raises("RESOURCE_ALREADY_EXISTS", client.create_experiment, "scenario ä")
    raises("RESOURCE_DOES_NOT_EXIST", client.get_experiment, "987654")
    raises("INVALID_PARAMETER_VALUE", client.create_experiment, "x" * 501)
    client.set_experiment_tag(first, "note", "n" * 7000)
    assert client.get_experiment(first).tags["note"] == "n" * 7000
    client.delete_experiment_tag(first, "note")
    assert "note" not in client.get_experiment(first).tags
    client.rename_experiment(first, "renamed")
    assert client.get_experiment(first).name == "renamed"
    others = [client.create_experiment(f"many-{i}") for i in range(5)]
    found = client.search_experiments(filter_string="name LIKE 'many-%'", max_results=2, order_by=["name ASC"])
    assert [e.name for e in found] == ["many-0", "many-1"] and found.token
    rest = client.search_experiments(
        filter_string="name LIKE 'many-%'", max_results=10, order_by=["name ASC"], page_token=found.token
    )
    assert [e.name for e in rest] == ["many-2", "many-3", "many-4"] and not rest.token
    assert [e.name for e in client.search_experiments(filter_string="tags.team = 'a'")] == ["renamed"]
    run = client.create_run(others[0])
    client.delete_experiment(others[0])
    assert client.get_experiment(others[0]).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    deleted = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    assert [e.experiment_id for e in deleted] == [others[0]]
    raises("INVALID_PARAMETER_VALUE", client.create_run, others[0])
    client.restore_experiment(others[0])
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"
    assert client.get_experiment(others[0]).artifact_location == f"mlflow-artifacts:/{others[0]}"


@group
def runs():
    experiment = client.create_experiment("runs")
    run = client.create_run(experiment, run_name="first", tags={"k": "v"}, start_time=1234)
    assert run.info.status == "RUNNING" and run.info.run_name == "first" and run.info.start_time == 1234
    run_id = run.info.run_id
    now = int(time.time() * 1000)
    client.log_metric(run_id, "loss", 1.5, step=1)
    client.log_metric(run_id, "loss", math.nan, step=2)
    client.log_metric(run_id, "loss", math.inf, step=3)
    client.log_metric(run_id, "acc", 0.1 + 0.2, timestamp=now, step=-3)
    history = client.get_metric_history(run_id, "loss")
    assert history[0].value == 1.5 and math.isnan(history[1].value) and history[2].value > 1e308
    data = client.get_run(run_id).data
    assert data.metrics["acc"] == 0.1 + 0.2
    client.log_param(run_id, "lr", 0.1)
    client.log_param(run_id, "lr", 0.1)
    raises("INVALID_PARAMETER_VALUE", client.log_param, run_id, "lr", 0.2)
    client.log_param(run_id, "long", "x" * 6000)
    client.set_tag(run_id, "t", "1")
    client.set_tag(run_id, "t", "2")
    client.delete_tag(run_id, "t")
    raises("RESOURCE_DOES_NOT_EXIST", client.delete_tag, run_id, "t")
    client.log_batch(
        run_id,
        metrics=[Metric("m", i / 7, now + i, i) for i in range(1000)],
    )
    client.log_batch(run_id, params=[Param(f"p{i}", str(i)) for i in range(100)], tags=[RunTag("a/b c", "ü")])
    assert len(client.get_metric_history(run_id, "m")) == 1000
    assert [m.value for m in client.get_metric_history(run_id, "m")] == [i / 7 for i in range(1000)]
    client.update_run(run_id, name="second")
    assert client.get_run(run_id).data.tags["mlflow.runName"] == "second"
    client.set_terminated(run_id, "FINISHED", end_time=now)
    ended = client.get_run(run_id).info
    assert (ended.status, ended.end_time) == ("FINISHED", now)
    client.delete_run(run_id)
    raises("INVALID_PARAMETER_VALUE", client.set_tag, run_id, "t", "1")
    assert client.search_runs([experiment]) == []
    assert len(client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)) == 1
    client.restore_run(run_id)
    raises("RESOURCE_DOES_NOT_EXIST", client.get_run, "0" * 32)
    raises("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "bad\nname", 1)
    raises("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "../name", 1)
    raises("INVALID_PARAMETER_VALUE", client.log_param, run_id, "k" * 251, 1)


@group
def fluent():
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="parent", description="d") as parent:
        mlflow.log_params({"a": 1, "b": None})
        mlflow.log_metrics({"x": 1.0, "y": 2.0}, step=5)
        mlflow.set_tags({"q": "r"})
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("z", 3)
    assert mlflow.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    frame = mlflow.search_runs(experiment_names=["fluent"], order_by=["attributes.start_time ASC"])
    assert list(frame["run_id"]) == [parent.info.run_id, child.info.run_id]
    with mlflow.start_run(run_id=parent.info.run_id):
        assert mlflow.active_run().info.status == "RUNNING"
        mlflow.log_metric("x", 9, step=6)
    assert mlflow.get_run(parent.info.run_id).info.status == "FINISHED"
    try:
        with mlflow.start_run():
            raise ValueError("on purpose")
    except ValueError:
        pass
    assert mlflow.last_active_run().info.status == "FAILED"


@group
def search():
    experiment = client.create_experiment("search")
    ids = {}
    for index, (name, acc, model) in enumerate([("a", 0.9, "resnet9"), ("b", 0.94, "airbench"), ("c", None, None)]):
        run = client.create_run(experiment, run_name=name, start_time=index + 1)
        ids[name] = run.info.run_id
        if acc is not None:
            client.log_metric(run.info.run_id, "acc", acc)
            client.log_param(run.info.run_id, "model", model)
        client.set_tag(run.info.run_id, "odd key", name)

    def names(filter_string="", order_by=None, **options):
        found = client.search_runs([experiment], filter_string, order_by=order_by, **options)
        return "".join(r.info.run_name for r in found)

    assert names() == "cba"
    assert names("metrics.acc > 0.92") == "b"
    assert names("params.model LIKE 'air%' and metrics.`acc` <= 1") == "b"
    assert names("params.model ILIKE 'RES%'") == "a"
    assert names("tags.`odd key` = \"c\"") == "c"
    assert names("attributes.run_name != 'a'") == "cb"
    assert names(f"run_id IN ('{ids['a']}', '{ids['b']}')") == "ba"
    assert names("params.model IS NULL") == "c"
    assert names("", ["metrics.acc DESC"]) == "bac"
    assert names("", ["params.model ASC", "start_time DESC"]) == "bac"
    raises("INVALID_PARAMETER_VALUE", client.search_runs, [experiment], "metrics.acc > 'x'")
    raises("INVALID_PARAMETER_VALUE", client.search_runs, [experiment], "nonsense")
    raises("INVALID_PARAMETER_VALUE", client.search_runs, [experiment], "", max_results=60_000)
    page = client.search_runs([experiment], max_results=2)
    assert len(page) == 2 and page.token
    assert len(client.search_runs([experiment], max_results=2, page_token=page.token)) == 1


@group
def inputs_and_outputs():
    experiment = client.create_experiment("inputs")
    run_id = client.create_run(experiment).info.run_id
    dataset = Dataset("cifar10", "abc123", "local", '{"uri": "x"}', '{"s": 1}', '{"n": 2}')
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    logged = client.get_run(run_id).inputs.dataset_inputs
    assert len(logged) == 1 and logged[0].dataset == dataset and logged[0].tags[0].value == "training"
    assert len(client.search_runs([experiment], "dataset.name = 'cifar10' AND dataset.context = 'training'")) == 1
    assert client.search_runs([experiment], "dataset.digest = 'zzz'") == []
    mlflow.set_experiment("inputs")
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_numpy(np.zeros((4, 2)), targets=np.zeros(4)), context="eval")
    assert len(client.get_run(run.info.run_id).inputs.dataset_inputs) == 1


@group
def logged_models():
    experiment = client.create_experiment("models")
    run_id = client.create_run(experiment).info.run_id
    model = client.create_logged_model(
        experiment, name="net", source_run_id=run_id, tags={"t": "1"}, params={"p": "2"}, model_type="cnn"
    )
    assert model.status == "PENDING" and model.params == {"p": "2"}
    model = client.finalize_logged_model(model.model_id, "READY")
    assert model.status == "READY"
    client.set_logged_model_tags(model.model_id, {"u": "3"})
    client.delete_logged_model_tag(model.model_id, "t")
    client.log_model_params(model.model_id, {"extra": "4"})
    client.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model.model_id, step=7)])
    assert client.get_run(run_id).outputs.model_outputs[0].step == 7
    client.log_metric(run_id, "acc", 0.75, step=7, model_id=model.model_id, dataset_name="d", dataset_digest="1")
    fetched = client.get_logged_model(model.model_id)
    assert fetched.tags == {"u": "3"} and fetched.params["extra"] == "4"
    assert fetched.metrics[0].value == 0.75 and fetched.metrics[0].dataset_name == "d"
    found = client.search_logged_models(
        [experiment], filter_string="metrics.acc > 0.5 AND name = 'net'", order_by=[{"field_name": "metrics.acc"}]
    )
    assert [m.model_id for m in found] == [model.model_id]
    assert client.search_logged_models([experiment], datasets=[{"dataset_name": "other"}]) == []
    client.delete_logged_model(model.model_id)
    raises("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, model.model_id)


@group
def artifacts():
    experiment = client.create_experiment("artifacts")
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, "hällo", "notes/a b.txt")
    client.log_dict(run_id, {"a": 1}, "d.json")
    client.log_image(run_id, np.zeros((4, 4, 3), dtype=np.uint8), "i.png")
    big = os.path.join(folder, "big.bin")
    with open(big, "wb") as file:
        file.write(os.urandom(11 * 1024 * 1024))
    client.log_artifact(run_id, big, "deep")
    listed = {f.path: (f.is_dir, f.file_size) for f in client.list_artifacts(run_id)}
    assert listed["notes"] == (True, None) and listed["d.json"][1] > 0 and set(listed) == {"notes", "d.json", "i.png", "deep"}
    assert [f.path for f in client.list_artifacts(run_id, "notes")] == ["notes/a b.txt"]
    local = client.download_artifacts(run_id, "deep/big.bin", folder)
    with open(local, "rb") as a, open(big, "rb") as b:
        assert a.read() == b.read()
    everything = client.download_artifacts(run_id, "", os.path.join(folder))
    assert open(os.path.join(everything, "notes", "a b.txt"), encoding="utf8").read() == "hällo"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/d.json") == {"a": 1}
    repository = mlflow.store.artifact.artifact_repository_registry.get_artifact_repository(
        client.get_run(run_id).info.artifact_uri
    )
    repository.delete_artifacts("d.json")
    assert "d.json" not in {f.path for f in client.list_artifacts(run_id)}
    try:
        client.list_artifacts(run_id, "../..")
    except (MlflowException, requests.HTTPError) as error:
        assert "INVALID_PARAMETER_VALUE" in str(error), str(error)
    else:
        raise AssertionError("the path was not refused")


@group
def registry():
    client.create_registered_model("net", tags={"a": "1"}, description="d")
    raises("RESOURCE_ALREADY_EXISTS", client.create_registered_model, "net")
    raises("INVALID_PARAMETER_VALUE", client.create_registered_model, "a/b")
    run_id = client.create_run("0").info.run_id
    source = client.get_run(run_id).info.artifact_uri + "/model"
    first = client.create_model_version("net", source, run_id, tags={"x": "y"}, description="one")
    second = client.create_model_version("net", source, run_id)
    assert (str(first.version), str(second.version)) == ("1", "2") and first.status == "READY"
    raises("INVALID_PARAMETER_VALUE", client.create_model_version, "net", "/etc/passwd", run_id)
    client.set_registered_model_alias("net", "champion", "1")
    client.set_registered_model_alias("net", "challenger", "2")
    assert str(client.get_model_version_by_alias("net", "champion").version) == "1"
    assert client.get_registered_model("net").aliases == {"champion": "1", "challenger": "2"}
    client.set_registered_model_alias("net", "champion", "2")
    assert client.get_model_version("net", "2").aliases == ["challenger", "champion"] or set(
        client.get_model_version("net", "2").aliases
    ) == {"challenger", "champion"}
    client.delete_registered_model_alias("net", "challenger")
    raises("INVALID_PARAMETER_VALUE", client.get_model_version_by_alias, "net", "challenger")
    raises("INVALID_PARAMETER_VALUE", client.set_registered_model_alias, "net", "v3", "1")
    client.transition_model_version_stage("net", "1", "Production")
    client.transition_model_version_stage("net", "2", "production", archive_existing_versions=True)
    assert client.get_model_version("net", "1").current_stage == "Archived"
    assert [str(v.version) for v in client.get_latest_versions("net", ["Production"])] == ["2"]
    client.update_model_version("net", "1", "changed")
    client.set_model_version_tag("net", "1", "k", "v")
    client.delete_model_version_tag("net", "1", "x")
    assert client.get_model_version("net", "1").tags == {"k": "v"}
    assert client.get_model_version_download_uri("net", "1") == source
    client.set_registered_model_tag("net", "b", "2")
    client.delete_registered_model_tag("net", "a")
    client.update_registered_model("net", "new")
    model = client.get_registered_model("net")
    assert model.tags == {"b": "2"} and model.description == "new"
    client.create_registered_model("other")
    assert [m.name for m in client.search_registered_models("name LIKE 'n%'")] == ["net"]
    assert [m.name for m in client.search_registered_models("tags.b = '2'")] == ["net"]
    page = client.search_registered_models(max_results=1, order_by=["name DESC"])
    assert [m.name for m in page] == ["other"] and page.token
    assert [str(v.version) for v in client.search_model_versions("name = 'net'", order_by=["version_number ASC"])] == ["1", "2"]
    assert [str(v.version) for v in client.search_model_versions(f"run_id = '{run_id}' AND tags.k = 'v'")] == ["1"]
    client.rename_registered_model("net", "net2")
    assert str(client.get_model_version("net2", "2").version) == "2"
    assert client.get_registered_model("net2").aliases == {"champion": "2"}
    client.delete_model_version("net2", "2")
    assert client.get_registered_model("net2").aliases == {}
    raises("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "net2", "2")
    client.delete_registered_model("net2")
    raises("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "net2")


@group
def pyfunc_models():
    class Double(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input * 2

    mlflow.set_experiment("pyfunc")
    with mlflow.start_run() as run:
        info = mlflow.pyfunc.log_model(name="double", python_model=Double(), registered_model_name="doubler", pip_requirements=[])
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert loaded.predict(np.array([1, 2])).tolist() == [2, 4]
    client.set_registered_model_alias("doubler", "champion", "1")
    assert mlflow.pyfunc.load_model("models:/doubler@champion").predict(np.array([3])).tolist() == [6]
    assert mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/double").predict(np.array([5])).tolist() == [10]
    assert mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")


@group
def onnx_models():
    from onnx import TensorProto, helper

    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", kinds[:1], kinds[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    example = np.array([[1, 2]], dtype=np.float32)
    mlflow.set_experiment("onnx")
    with mlflow.start_run():
        info = mlflow.onnx.log_model(model, name="double", registered_model_name="onnx-doubler", input_example=example)
    client.set_registered_model_alias("onnx-doubler", "champion", "1")
    assert mlflow.onnx.load_model("models:/onnx-doubler@champion").graph.name == "double"
    for model_uri in (info.model_uri, "models:/onnx-doubler@champion"):
        assert mlflow.pyfunc.load_model(model_uri).predict(example)["y"].tolist() == [[2, 4]]


@group
def system_metrics():
    mlflow.set_experiment("system metrics")
    mlflow.set_system_metrics_sampling_interval(0.2)
    mlflow.set_system_metrics_samples_before_logging(1)
    with mlflow.start_run(log_system_metrics=True) as run:
        deadline = time.time() + 60
        while time.time() < deadline and not client.get_run(run.info.run_id).data.metrics:
            time.sleep(0.2)
    assert "system/cpu_utilization_percentage" in client.get_run(run.info.run_id).data.metrics


@group
def asynchronous():
    mlflow.set_experiment("async")
    with mlflow.start_run() as run:
        for step in range(50):
            mlflow.log_metric("m", step, step=step, synchronous=False)
        mlflow.log_params({"a": 1}, synchronous=False)
        mlflow.flush_async_logging()
    assert len(client.get_metric_history(run.info.run_id, "m")) == 50
    assert client.get_run(run.info.run_id).data.params == {"a": "1"}


failed = 0
only = os.environ.get("SCENARIO")
for function in groups:
    if only and function.__name__ != only:
        continue
    try:
        function()
        error = None
    except Exception:
        failed += 1
        error = traceback.format_exc()
    print(json.dumps({"group": function.__name__, "error": error}), flush=True)
sys.exit(1 if failed else 0)
