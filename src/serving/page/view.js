// Small parts that the modules of the page share.

export const byId = (id) => document.getElementById(id);

const svgNamespace = "http://www.w3.org/2000/svg";

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/** One bar; its width is an attribute because the page's security policy forbids inline style. */
export function bar(value) {
  const width = Math.max(value * 100, value > 0 ? 0.4 : 0);
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 10 }),
  );
}

export function percent(value) {
  if (value > 0 && value < 0.001) return "<0.1 %";
  return `${(value * 100).toFixed(1)} %`;
}

export function megabytes(bytes) {
  return `${Number((bytes / 1024 ** 2).toPrecision(3))} MB`;
}

export function milliseconds(seconds) {
  return `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
}

/** An error message of the API as a sentence. */
export function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

export function fact(name, value, isWide = false) {
  const group = element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }));
  group.classList.toggle("is-wide", isWide);
  return group;
}
