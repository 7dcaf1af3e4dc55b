import { call } from "./api.js";
import { empty, h } from "./dom.js";
import { bytes } from "./format.js";

const images = /\.(png|jpe?g|gif|webp|svg)$/i;
const texts = /(\.(txt|md|log|ya?ml|csv|toml|cfg|py|js|ts|html|xml)|MLmodel)$/i;
const maxText = 2_000_000;

/** Files of a run: a tree, and what is in the chosen one. */
export function artifactBrowser({ runId, signal, report }) {
  const viewer = h("div", { class: "viewer", "aria-live": "polite" }, h("p", { class: "muted" }, "Choose a file."));
  const tree = h("div", { class: "tree" });
  const url = (path) => `/get-artifact?${new URLSearchParams({ run_id: runId, path })}`;
  const open = async (file) => {
    const name = file.path.split("/").at(-1);
    const download = h(
      "p",
      {},
      h("a", { href: url(file.path), download: name }, `Download ${name}`),
      ` (${bytes(file.file_size)})`,
    );
    viewer.replaceChildren(download);
    try {
      if (images.test(name)) viewer.append(h("img", { src: url(file.path), alt: file.path }));
      else if (/\.json$/i.test(name) && file.file_size < maxText) {
        const text = await read(url(file.path));
        viewer.append(h("pre", {}, pretty(text)));
      } else if (texts.test(name) && file.file_size < maxText) viewer.append(h("pre", {}, await read(url(file.path))));
      else if (/\.onnx$/i.test(name)) viewer.append(h("pre", {}, await onnxSummary(url(file.path))));
      else viewer.append(h("p", { class: "muted" }, "No preview for this kind of file."));
    } catch (error) {
      report(error);
    }
  };
  const fill = async (place, path) => {
    const { files = [] } = await call("GET", "artifacts/list", { run_id: runId, path });
    if (signal.aborted) return;
    if (files.length === 0 && path === undefined)
      place.append(empty("No artifacts", "Files that the run logs appear here."));
    for (const file of files) {
      const name = file.path.split("/").at(-1);
      if (!file.is_dir) {
        place.append(
          h(
            "button",
            { type: "button", onclick: () => open(file) },
            `${name} `,
            h("span", { class: "muted" }, bytes(file.file_size)),
          ),
        );
        continue;
      }
      const inside = h("div", { class: "inside", hidden: true });
      const folder = h(
        "button",
        {
          type: "button",
          "aria-expanded": "false",
          onclick: async () => {
            inside.hidden = !inside.hidden;
            folder.setAttribute("aria-expanded", String(!inside.hidden));
            folder.firstChild.data = `${inside.hidden ? "▸" : "▾"} ${name}`;
            if (inside.children.length === 0) await fill(inside, file.path).catch(report);
          },
        },
        `▸ ${name}`,
      );
      place.append(folder, inside);
    }
  };
  fill(tree, undefined).catch(report);
  return h("div", { class: "artifacts" }, tree, viewer);
}

async function read(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the file cannot be read: status ${response.status}`);
  return response.text();
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Operators, weights and producer of an ONNX file, read from its outermost protobuf fields. */
async function onnxSummary(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the file cannot be read: status ${response.status}`);
  const data = new Uint8Array(await response.arrayBuffer());
  const decode = (part) => new TextDecoder().decode(part);
  const facts = { producer: "", ir: 0 };
  const operators = new Map();
  const shapes = { inputs: [], outputs: [] };
  let weights = 0;
  for (const { field, value } of fields(data)) {
    if (field === 1) facts.ir = value;
    if (field === 2) facts.producer = decode(value);
    if (field !== 7) continue;
    for (const part of fields(value)) {
      if (part.field === 1)
        for (const inner of fields(part.value))
          if (inner.field === 4) {
            const name = decode(inner.value);
            operators.set(name, (operators.get(name) ?? 0) + 1);
          }
      if (part.field === 5) weights += weightCount(part.value);
      if (part.field === 11 || part.field === 12)
        shapes[part.field === 11 ? "inputs" : "outputs"].push(
          decode([...fields(part.value)].find(({ field: f }) => f === 1)?.value ?? new Uint8Array()),
        );
    }
  }
  const lines = [...operators]
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => `  ${String(count).padStart(5)}  ${name}`);
  return [
    `ONNX, IR version ${facts.ir}, made by ${facts.producer || "unknown"}`,
    `inputs   ${shapes.inputs.join(", ")}`,
    `outputs  ${shapes.outputs.join(", ")}`,
    `weights  ${weights.toLocaleString("en")} numbers`,
    `operators (${[...operators.values()].reduce((a, b) => a + b, 0)})`,
    ...lines,
  ].join("\n");
}

function weightCount(tensor) {
  let count = 1;
  for (const { field, value } of fields(tensor)) {
    if (field !== 1) continue;
    if (typeof value === "number") count *= value;
    else for (const dim of varints(value)) count *= dim;
  }
  return count;
}

function* varints(bytesOf) {
  for (let at = 0; at < bytesOf.length; ) {
    const [value, next] = varint(bytesOf, at);
    yield value;
    at = next;
  }
}

function varint(bytesOf, from) {
  let value = 0;
  let scale = 1;
  for (let at = from; at < bytesOf.length; at++) {
    value += (bytesOf[at] & 127) * scale;
    if (bytesOf[at] < 128) return [value, at + 1];
    scale *= 128;
  }
  throw new Error("the file is no ONNX model");
}

/** The fields of a protobuf message. */
function* fields(message) {
  for (let at = 0; at < message.length; ) {
    const [key, start] = varint(message, at);
    const field = Math.floor(key / 8);
    const kind = key % 8;
    if (kind === 0) {
      const [value, next] = varint(message, start);
      yield { field, value };
      at = next;
    } else if (kind === 2) {
      const [length, next] = varint(message, start);
      yield { field, value: message.subarray(next, next + length) };
      at = next + length;
    } else if (kind === 1 || kind === 5) at = start + (kind === 1 ? 8 : 4);
    else throw new Error("the file is no ONNX model");
  }
}
