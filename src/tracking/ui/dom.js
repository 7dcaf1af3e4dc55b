/** An element with attributes and children; text is always text. */
export function h(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "circle", "rect"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "selected") element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A labelled choice. */
export function select({ label, options, value, onchange }) {
  const list = h(
    "select",
    { onchange: (event) => onchange(event.target.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
  return h("label", { class: "field" }, label, list);
}

/** A labelled switch. */
export function toggle({ label, checked, onchange, id }) {
  const box = h("input", { type: "checkbox", checked, id, onchange: (event) => onchange(event.target.checked) });
  return h("label", { class: "switch" }, box, label);
}

/** Says in place of a table what to do to fill it. */
export function empty(title, ...text) {
  return h("div", { class: "empty" }, h("h2", {}, title), ...text.map((line) => h("p", {}, line)));
}

/** A table of rows of cells. */
export function table(heads, rows, attributes = {}) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "plain", ...attributes },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((head) => h("th", { scope: "col" }, head)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h(
            "tr",
            {},
            cells.map((cell) => h("td", {}, cell)),
          ),
        ),
      ),
    ),
  );
}

/** Calls a function once, when nothing has happened for a while. */
export function debounce(call, ms) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), ms);
  };
}
