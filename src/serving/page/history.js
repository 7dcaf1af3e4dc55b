// What was classified during this visit; nothing is stored.
import { byId, element, percent } from "./view.js";

const maxEntries = 12;
const list = byId("history");
const section = byId("history-section");

/** @param onChoose shows an earlier prediction again */
export function addToHistory({ file, prediction }, onChoose) {
  const url = URL.createObjectURL(file);
  const image = element("img", { src: url, alt: "", width: 56, height: 56, className: "thumbnail" });
  const button = element(
    "button",
    { type: "button", className: "history-entry" },
    image,
    element(
      "span",
      { className: "history-text" },
      element("span", { className: "history-label", textContent: prediction.predicted_label }),
      element("span", { className: "history-detail", textContent: percent(prediction.confidence) }),
    ),
  );
  button.addEventListener("click", onChoose);
  const entry = element("li", {}, button);
  list.prepend(entry);
  section.hidden = false;
  while (list.children.length > maxEntries) {
    URL.revokeObjectURL(list.lastElementChild.querySelector("img").src);
    list.lastElementChild.remove();
  }
  return (trueLabel) => {
    const right = trueLabel === prediction.predicted_label;
    entry.querySelector(".history-detail").textContent = right ? "right" : `really ${trueLabel}`;
  };
}
