// The upload page: sends the chosen, dropped or pasted image to /predict and shows the answer.

const byId = (id) => document.getElementById(id);
const view = {
  dropZone: byId("drop-zone"),
  dropLabel: byId("drop-label"),
  file: byId("file"),
  preview: byId("preview"),
  previewImage: byId("preview-image"),
  previewBar: byId("preview-bar"),
  previewCaption: byId("preview-caption"),
  status: byId("status"),
  error: byId("error"),
  placeholder: byId("placeholder"),
  progress: byId("progress"),
  result: byId("result"),
  answerLabel: byId("answer-label"),
  answerConfidence: byId("answer-confidence"),
  probabilities: byId("probabilities"),
  timing: byId("timing"),
  model: byId("model"),
  notice: byId("synthetic-notice"),
  sizeLimit: byId("size-limit"),
};

const svgNamespace = "http://www.w3.org/2000/svg";
let maxBytes = Number.POSITIVE_INFINITY;
let running;
let previewUrl;

/** Shows one of placeholder, progress, result, error. */
function show(part) {
  for (const name of ["placeholder", "progress", "result", "error"]) view[name].hidden = name !== part;
}

function percent(value) {
  if (value > 0 && value < 0.001) return "<0.1 %";
  return `${(value * 100).toFixed(1)} %`;
}

function megabytes(bytes) {
  return `${Number((bytes / 1024 ** 2).toPrecision(3))} MB`;
}

function milliseconds(seconds) {
  return `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
}

/** An error message of the API as a sentence. */
function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

function showError(title, detail, requestId) {
  const strong = document.createElement("strong");
  strong.textContent = title;
  view.error.replaceChildren(strong, sentence(detail ?? ""));
  if (requestId) {
    const small = document.createElement("small");
    small.textContent = `Request ${requestId}`;
    view.error.append(small);
  }
  view.status.textContent = "";
  show("error");
}

function showPreview(file) {
  if (previewUrl) URL.revokeObjectURL(previewUrl);
  previewUrl = URL.createObjectURL(file);
  view.previewImage.src = previewUrl;
  view.previewImage.alt = `Preview of ${file.name || "the pasted image"}`;
  view.previewCaption.textContent = file.name || "Pasted image";
  view.previewCaption.title = file.name;
  view.dropLabel.hidden = true;
  view.preview.hidden = false;
  view.previewBar.hidden = false;
}

view.previewImage.addEventListener("load", () => {
  const { naturalWidth: width, naturalHeight: height } = view.previewImage;
  // Pixels of a 32 x 32 image are shown as they are instead of blurred.
  view.previewImage.classList.toggle("is-tiny", Math.max(width, height) <= 64);
  view.previewCaption.textContent += `, ${width} × ${height}`;
});

view.previewImage.addEventListener("error", () => {
  view.previewImage.removeAttribute("src");
  view.previewImage.alt = "No preview: the browser can't show this file.";
});

/** One bar; its width is an attribute because the page's security policy forbids inline style. */
function bar(value) {
  const svg = document.createElementNS(svgNamespace, "svg");
  svg.setAttribute("class", "bar");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(svgNamespace, "rect");
  rect.setAttribute("width", String(Math.max(value * 100, value > 0 ? 0.4 : 0)));
  rect.setAttribute("height", "10");
  svg.append(rect);
  return svg;
}

function probabilityRow([label, value], isBest) {
  const row = document.createElement("tr");
  row.classList.toggle("is-best", isBest);
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = label;
  const cell = document.createElement("td");
  const text = document.createElement("span");
  text.textContent = percent(value);
  cell.append(bar(value), text);
  row.append(name, cell);
  return row;
}

function showPrediction(prediction) {
  view.answerLabel.textContent = prediction.predicted_label;
  view.answerConfidence.textContent = `${percent(prediction.confidence)} sure`;
  const sorted = Object.entries(prediction.all_probabilities).sort((a, b) => b[1] - a[1]);
  view.probabilities.replaceChildren(
    ...sorted.map((entry) => probabilityRow(entry, entry[0] === prediction.predicted_label)),
  );
  view.timing.textContent =
    `Model ${milliseconds(prediction.inference_time_seconds)}, ` +
    `in all ${milliseconds(prediction.total_time_seconds)} on the server.`;
  view.status.textContent = `Prediction: ${prediction.predicted_label}, ${percent(prediction.confidence)} sure.`;
  show("result");
}

async function classify(file) {
  running?.abort();
  const abort = new AbortController();
  running = abort;
  showPreview(file);
  if (file.size === 0) return showError("This file is empty.", "Choose another image.");
  if (file.size > maxBytes) return showError("This image is too large.", `The limit is ${megabytes(maxBytes)}.`);
  show("progress");
  view.status.textContent = "Classifying";
  const form = new FormData();
  form.append("file", file, file.name || "pasted-image");
  try {
    const response = await fetch("/predict", { method: "POST", body: form, signal: abort.signal });
    const body = await response.json();
    if (abort.signal.aborted) return;
    if (response.ok) showPrediction(body);
    else showError("The image could not be classified.", body.message, body.request_id);
  } catch (error) {
    if (error.name === "AbortError") return;
    showError("The server can't be reached.", "Check that it is running and try again.");
  }
}

function firstImage(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? transfer?.files?.[0];
}

view.file.addEventListener("change", () => {
  const [file] = view.file.files;
  if (file) void classify(file);
  // Choosing the same file again shall classify it again.
  view.file.value = "";
});

let dragDepth = 0;
document.addEventListener("dragenter", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  dragDepth++;
  view.dropZone.classList.add("is-over");
});
document.addEventListener("dragleave", () => {
  dragDepth = Math.max(0, dragDepth - 1);
  if (dragDepth === 0) view.dropZone.classList.remove("is-over");
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragDepth = 0;
  view.dropZone.classList.remove("is-over");
  const file = firstImage(event.dataTransfer);
  if (file) void classify(file);
});
document.addEventListener("paste", (event) => {
  const file = firstImage(event.clipboardData);
  if (file) void classify(file);
});

function fact(name, value, isWide = false) {
  const group = document.createElement("div");
  group.classList.toggle("is-wide", isWide);
  const term = document.createElement("dt");
  term.textContent = name;
  const description = document.createElement("dd");
  description.textContent = value;
  group.append(term, description);
  return group;
}

function accuracyText(model) {
  if (model.test_accuracy !== null) return `${percent(model.test_accuracy)} (test images)`;
  if (model.validation_accuracy !== null) return `${percent(model.validation_accuracy)} (validation images)`;
  return "not measured";
}

async function showModel() {
  try {
    const [health, models] = await Promise.all(
      ["/health", "/models"].map(async (path) => {
        const response = await fetch(path);
        if (!response.ok) throw new Error(`${path} answered ${response.status}`);
        return response.json();
      }),
    );
    const model = models.models.find((candidate) => candidate.active);
    view.model.replaceChildren(
      fact("Name", model.name, true),
      fact("Architecture", model.architecture),
      fact("Accuracy", accuracyText(model)),
      fact("Parameters", model.parameter_count.toLocaleString("en")),
      fact(
        "Trained on",
        model.synthetic_data && !model.dataset.includes("synthetic") ? `${model.dataset} (synthetic)` : model.dataset,
      ),
      fact(
        "Trained",
        new Date(model.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }),
      ),
      fact("Input", `${model.input_size[1]} × ${model.input_size[0]} pixels`),
    );
    maxBytes = health.max_upload_bytes;
    view.sizeLimit.textContent = `, up to ${megabytes(maxBytes)}`;
    if (health.synthetic_data) {
      view.notice.textContent = health.notice;
      view.notice.hidden = false;
    }
  } catch {
    view.model.replaceChildren(fact("Status", "The model's details can't be read. Is the server running?", true));
  }
}

void showModel();
