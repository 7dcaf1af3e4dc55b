// The upload page: sends the chosen, dropped, pasted or photographed image to /predict and shows the answer.
import { predict, rememberKey, sendFeedback } from "./api.js";
import { installCamera } from "./camera.js";
import { addToHistory } from "./history.js";
import { installModels, serving } from "./models.js";
import { installSamples } from "./samples.js";
import { bar, byId, element, megabytes, milliseconds, percent, sentence } from "./view.js";

const view = {
  dropZone: byId("drop-zone"),
  dropLabel: byId("drop-label"),
  file: byId("file"),
  preview: byId("preview"),
  previewImage: byId("preview-image"),
  previewCaption: byId("preview-caption"),
  chooseAnother: byId("choose-another"),
  camera: byId("camera"),
  status: byId("status"),
  error: byId("error"),
  keyForm: byId("key-form"),
  key: byId("api-key"),
  placeholder: byId("placeholder"),
  progress: byId("progress"),
  result: byId("result"),
  answerLabel: byId("answer-label"),
  answerConfidence: byId("answer-confidence"),
  probabilities: byId("probabilities"),
  timing: byId("timing"),
  feedback: byId("feedback"),
  feedbackRight: byId("feedback-right"),
  feedbackClass: byId("feedback-class"),
  feedbackThanks: byId("feedback-thanks"),
};

const maxRows = 10;
let running;
let previewUrl;
/** What is shown, for feedback and to ask again. */
let current;

/** Shows one of placeholder, progress, result, error. */
function show(part) {
  for (const name of ["placeholder", "progress", "result", "error"]) view[name].hidden = name !== part;
  view.keyForm.hidden = true;
}

function showError(title, detail, requestId) {
  view.error.replaceChildren(element("strong", { textContent: title }), sentence(detail ?? ""));
  if (requestId) view.error.append(element("small", { textContent: `Request ${requestId}` }));
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
  for (const part of [view.preview, view.previewCaption, view.chooseAnother]) part.hidden = false;
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

function probabilityRow([label, value], rank) {
  const cell = element("td", {}, bar(value), element("span", { textContent: percent(value) }));
  const row = element("tr", {}, element("th", { scope: "row", textContent: label }), cell);
  row.classList.toggle("is-best", rank === 0);
  row.classList.toggle("is-top", rank < 3);
  return row;
}

function showPrediction({ file, prediction, seconds, markHistory }) {
  current = { file, prediction, markHistory };
  view.answerLabel.textContent = prediction.predicted_label;
  view.answerConfidence.textContent = `${percent(prediction.confidence)} sure`;
  const sorted = Object.entries(prediction.all_probabilities).sort((a, b) => b[1] - a[1]);
  view.probabilities.replaceChildren(...sorted.slice(0, maxRows).map(probabilityRow));
  view.timing.textContent =
    `Model ${milliseconds(prediction.inference_time_seconds)}, ` +
    `in all ${milliseconds(prediction.total_time_seconds)} on the server, ${milliseconds(seconds)} from here.`;
  const classes = Object.keys(prediction.all_probabilities);
  view.feedbackClass.replaceChildren(
    ...classes
      .filter((name) => name !== prediction.predicted_label)
      .map((name) => element("option", { value: name, textContent: name })),
  );
  // The second most probable class is the likeliest correction.
  view.feedbackClass.value = sorted[1]?.[0] ?? "";
  view.feedback.hidden = false;
  view.feedbackThanks.hidden = true;
  const top = sorted.slice(0, 3).map(([label, value]) => `${label} ${percent(value)}`);
  view.status.textContent = `Prediction: ${top.join(", ")}.`;
  show("result");
}

function showFailure(title, error) {
  if (error.name === "AbortError") return;
  if (error.status === undefined)
    return showError("The server can't be reached.", "Check that it is running and try again.");
  showError(title, error.message, error.requestId);
  view.keyForm.hidden = !error.needsKey;
}

async function classify(file) {
  running?.abort();
  const abort = new AbortController();
  running = abort;
  showPreview(file);
  current = { file };
  if (file.size === 0) return showError("This file is empty.", "Choose another image.");
  if (file.size > serving.maxBytes) {
    return showError("This image is too large.", `The limit is ${megabytes(serving.maxBytes)}.`);
  }
  show("progress");
  view.status.textContent = "Classifying";
  try {
    const started = performance.now();
    const prediction = await predict(file, { model: serving.model, signal: abort.signal });
    const shown = { file, prediction, seconds: (performance.now() - started) / 1000 };
    shown.markHistory = addToHistory(shown, () => {
      running?.abort();
      showPreview(file);
      showPrediction(shown);
    });
    showPrediction(shown);
  } catch (error) {
    showFailure("The image could not be classified.", error);
  }
}

async function correct(trueLabel) {
  const { prediction, markHistory } = current;
  try {
    const { live_accuracy: accuracy, feedback_count: count } = await sendFeedback(prediction.request_id, trueLabel);
    view.feedbackThanks.textContent = `Thank you. ${percent(accuracy)} of ${count} rated predictions were right.`;
    view.feedbackThanks.hidden = false;
    view.feedback.hidden = true;
    markHistory(trueLabel);
  } catch (error) {
    showFailure("The correction was not accepted.", error);
  }
}

view.feedbackRight.addEventListener("click", () => void correct(current.prediction.predicted_label));
view.feedback.addEventListener("submit", (event) => {
  event.preventDefault();
  void correct(view.feedbackClass.value);
});

view.keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  rememberKey(view.key.value.trim());
  view.key.value = "";
  if (current?.file) void classify(current.file);
});

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

installCamera(view.camera, (file) => void classify(file));
installSamples(byId("samples"), (file) => void classify(file));
void installModels(() => {
  if (current?.prediction) void classify(current.file);
});
