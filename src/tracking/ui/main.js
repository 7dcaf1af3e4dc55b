import { compareView } from "./compare-view.js";
import { experimentView } from "./experiment-view.js";
import { modelsView } from "./models-view.js";
import { runView } from "./run-view.js";

const content = document.getElementById("content");
const problem = document.getElementById("problem");
let leave = () => {};

/** #/compare?runs=a,b: the words of the path, and the query. */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { words: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

export function report(error) {
  if (error?.name === "AbortError") return;
  problem.hidden = false;
  problem.textContent = error instanceof Error ? error.message : String(error);
}

async function show() {
  leave();
  const controller = new AbortController();
  leave = () => controller.abort();
  problem.hidden = true;
  const { words, query } = route();
  const [kind = "experiments", id] = words;
  for (const link of document.querySelectorAll("[data-nav]")) {
    const current = (link.dataset.nav === "models") === (kind === "models");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  content.replaceChildren();
  const context = { place: content, query, signal: controller.signal, report };
  try {
    if (kind === "runs") await runView({ ...context, id });
    else if (kind === "compare")
      await compareView({ ...context, ids: (query.get("runs") ?? "").split(",").filter(Boolean) });
    else if (kind === "models") await modelsView({ ...context, id });
    else await experimentView({ ...context, id });
  } catch (error) {
    report(error);
  }
}

window.addEventListener("hashchange", () => {
  void show().then(() => content.focus({ preventScroll: false }));
});
void show();
