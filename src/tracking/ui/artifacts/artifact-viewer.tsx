import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type ArtifactFile, artifactUrl, nameOf, readArtifact } from "../api.ts";
import { bytes } from "../format.ts";
import { useWork } from "../work.ts";
import { summariseOnnx } from "./onnx-summary.ts";

const images = /\.(png|jpe?g|gif|webp|svg)$/i;
const texts = /(\.(txt|md|log|ya?ml|csv|toml|cfg|py|js|ts|html|xml)|MLmodel)$/i;
/** Longer text is for an editor. */
const maxText = 2_000_000;
/** A model is read as a whole for its summary. */
const maxOnnx = 200_000_000;

/** What is in a file, as far as a page can show it, and the way to have it. */
export function ArtifactViewer({ runId, file }: { runId: string; file: ArtifactFile }) {
  const [content, setContent] = useState<ComponentChildren>();
  const url = artifactUrl(runId, file.path);
  useWork(async () => setContent(await contentOf(url, file)), [url]);
  return (
    <>
      <p>
        <a href={url} download={nameOf(file.path)}>
          Download {nameOf(file.path)}
        </a>{" "}
        ({bytes(file.file_size)})
      </p>
      {content}
    </>
  );
}

async function contentOf(url: string, { path, file_size = 0 }: ArtifactFile): Promise<ComponentChildren> {
  if (images.test(path)) return <img src={url} alt={path} />;
  const isOnnx = /\.onnx$/i.test(path);
  const isJson = /\.json$/i.test(path);
  if (!(isOnnx || isJson || texts.test(path))) return <p class="muted">No preview for this kind of file.</p>;
  if (file_size >= (isOnnx ? maxOnnx : maxText)) return <p class="muted">Too large for a preview.</p>;
  if (isOnnx) return <pre>{onnxText(await (await readArtifact(url)).arrayBuffer())}</pre>;
  const text = await (await readArtifact(url)).text();
  return <pre>{isJson ? indented(text) : text}</pre>;
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function onnxText(data: ArrayBuffer): string {
  const { producer, irVersion, inputs, outputs, weights, operators } = summariseOnnx(new Uint8Array(data));
  const total = operators.reduce((sum, [, count]) => sum + count, 0);
  return [
    `ONNX, IR version ${irVersion}, made by ${producer || "unknown"}`,
    `inputs   ${inputs.join(", ")}`,
    `outputs  ${outputs.join(", ")}`,
    `weights  ${weights.toLocaleString("en")} numbers`,
    `operators (${total})`,
    ...operators.map(([name, count]) => `  ${String(count).padStart(5)}  ${name}`),
  ].join("\n");
}
