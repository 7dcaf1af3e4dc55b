import { useState } from "preact/hooks";
import { artifactUrl, call, type ModelVersion, readArtifact } from "../api.ts";
import { Table } from "../fields.tsx";
import { number } from "../format.ts";
import { link } from "../route.ts";
import { useWork } from "../work.ts";

/** metadata.json of a model bundle, as far as it is shown. */
interface BundleMetadata {
  readonly name: string;
  readonly createdAt: string;
  readonly model: { readonly architecture: string; readonly parameterCount: number };
  readonly classes: readonly string[];
  readonly preprocessing: {
    readonly height: number;
    readonly width: number;
    readonly resize: string;
    readonly mean: readonly number[];
    readonly std: readonly number[];
  };
  readonly dataset: { readonly name: string; readonly synthetic: boolean; readonly digest: string };
  readonly metrics: Readonly<Record<string, Figures | undefined>>;
  readonly calibration: { readonly temperature: number };
  readonly training: { readonly seed: number; readonly epochs: number; readonly gitRevision?: string };
}

interface Figures {
  readonly accuracy: number;
  readonly loss: number;
  readonly macroF1: number;
  readonly accuracyWithTta?: number;
}

interface Confusion {
  readonly classes: readonly string[];
  /** A row a true class, a column a predicted one. */
  readonly confusion: readonly (readonly number[])[];
}

/** What one has to know of a run's model before one uses it. */
export function ModelCard({ runId }: { runId: string }) {
  const [found, setFound] = useState<{ metadata: BundleMetadata; confusion: Confusion | undefined }>();
  const [versions, setVersions] = useState<readonly ModelVersion[]>([]);
  useWork(async () => {
    const read = async (path: string) => (await readArtifact(artifactUrl(runId, path))).json();
    const confusion = await read("confusion_matrix.json").catch(() => undefined);
    setFound({ metadata: await read("model/metadata.json"), confusion });
  }, [runId]);
  useWork(
    async (signal) => {
      const input = { filter: `run_id = '${runId}'`, max_results: 100 };
      const page = await call<{ model_versions?: ModelVersion[] }>("GET", "model-versions/search", input, signal);
      setVersions(page.model_versions ?? []);
    },
    [runId],
  );
  if (found === undefined) return <p class="muted">Loading …</p>;
  const { metadata, confusion } = found;
  const { model, dataset, preprocessing, training, calibration, classes } = metadata;
  const splits = Object.entries(metadata.metrics).flatMap(([split, figures]) =>
    figures === undefined ? [] : [[split, figures] as const],
  );
  return (
    <div class="columns">
      <section>
        <h2>Model</h2>
        <Table
          heads={["What", "Value"]}
          rows={[
            ["bundle", metadata.name],
            ["architecture", `${model.architecture}, ${model.parameterCount.toLocaleString("en")} parameters`],
            ["input", `RGB, ${preprocessing.width} x ${preprocessing.height}, ${preprocessing.resize}`],
            [
              "normalisation",
              `mean ${preprocessing.mean.map(number).join(", ")}; std ${preprocessing.std.map(number).join(", ")}`,
            ],
            ["data set", dataset.synthetic ? `${dataset.name}: drawings, no photos` : dataset.name],
            ["digest of the data", dataset.digest],
            ["training", `${training.epochs} epochs, seed ${training.seed}`],
            ["revision", training.gitRevision ?? "unknown"],
            ["made", metadata.createdAt],
          ]}
        />
        <h2>Registered as</h2>
        {versions.length === 0 ? (
          <p class="muted">not registered</p>
        ) : (
          <Table
            heads={["Model", "Version", "Stage"]}
            rows={versions.map(({ name, version, current_stage = "None" }) => [
              <a href={link(["models", name])}>{name}</a>,
              version,
              current_stage,
            ])}
          />
        )}
      </section>
      <section>
        <h2>How good it is</h2>
        {splits.length === 0 ? (
          <p class="muted">never evaluated</p>
        ) : (
          <Table
            heads={["Images", "Accuracy", "Loss", "Macro F1", "Accuracy of several views"]}
            rows={splits.map(([split, { accuracy, loss, macroF1, accuracyWithTta }]) => [
              split,
              ...[accuracy, loss, macroF1, accuracyWithTta].map(number),
            ])}
          />
        )}
        <p class="muted">
          Probabilities are of logits over {number(calibration.temperature)}, fitted on validation images. The model
          gives one of its {classes.length} classes for every image, of other things too.
        </p>
        <h2>Classes</h2>
        {confusion === undefined ? (
          <p>{classes.join(", ")}</p>
        ) : (
          <Table heads={["Class", "Images", "Recall", "Precision", "Most taken for"]} rows={classRows(confusion)} />
        )}
      </section>
    </div>
  );
}

function classRows({ classes, confusion }: Confusion) {
  return classes.map((name, at) => {
    const row = confusion[at] ?? [];
    const right = row[at] ?? 0;
    const images = row.reduce((sum, count) => sum + count, 0);
    const predicted = confusion.reduce((sum, other) => sum + (other[at] ?? 0), 0);
    const wrong = row.map((count, other) => (other === at ? -1 : count));
    const worst = wrong.indexOf(Math.max(...wrong));
    return [
      name,
      images,
      images === 0 ? "" : number(right / images),
      predicted === 0 ? "" : number(right / predicted),
      (wrong[worst] ?? 0) > 0 ? `${classes[worst]} (${wrong[worst]})` : "",
    ];
  });
}
