/**
 * Who may import whom: dependencies point downward, without cycles and without exceptions. Each row lists everything
 * that a folder of src/ may import beside itself; type-only imports count like others. Worker entries (src/workers)
 * are composition roots: they import what they need and nothing imports them.
 */
const layers = {
  base: [],
  backup: ["base"],
  tensor: ["base"],
  config: ["models/catalogue.ts", "base"],
  http: ["base"],
  tracking: ["http", "base"],
  ray: ["base"],
  tuning: ["ray", "base"],
  observability: ["base"],
  data: ["tensor", "base"],
  graph: ["tensor", "base"],
  autodiff: ["graph", "tensor", "base"],
  backends: ["graph", "tensor", "base"],
  nn: ["graph", "tensor", "base"],
  optim: ["graph", "tensor", "base"],
  quantization: ["graph", "tensor", "base"],
  models: ["nn", "graph", "tensor", "base"],
  weights: ["models", "nn", "graph", "data", "tensor", "base"],
  training: ["models", "nn", "optim", "autodiff", "graph", "data", "tensor", "base"],
  distributed: ["ray", "tensor", "base"],
  inference: ["graph", "tensor", "data/transforms", "base"],
  serving: ["http", "inference", "observability", "graph", "tensor", "data/transforms", "base"],
  experiments: [
    ...["tuning", "tracking", "inference", "quantization", "training", "weights", "models", "optim", "nn", "autodiff"],
    ...["backends", "graph"],
    ...["distributed", "ray", "data", "config", "tensor", "base"],
  ],
};

/** Only src/tracking knows, by type, what a training tells. */
const typeOnly = { tracking: ["training/events.ts"] };

const folder = (name) => (name.endsWith(".ts") ? `^src/${name}$` : `^src/${name}/`);
const page = "src/tracking/ui/";
const tests = "\\.test\\.ts$";

const layerRules = Object.entries(layers).map(([name, allowed]) => ({
  name: `layer-${name}`,
  comment: `src/${name} may import only ${allowed.join(", ") || "itself"}`,
  severity: "error",
  from: { path: folder(name), pathNot: tests },
  to: {
    path: "^src/",
    pathNot: [name, ...allowed, ...(typeOnly[name] ?? [])].map(folder),
  },
}));

const typeOnlyRules = Object.entries(typeOnly).map(([name, files]) => ({
  name: `type-only-${name}`,
  comment: `src/${name} may use ${files.join(", ")} for its types only`,
  severity: "error",
  from: { path: folder(name), pathNot: tests },
  to: { path: files.map(folder), dependencyTypesNot: ["type-only"] },
}));

module.exports = {
  forbidden: [
    ...layerRules,
    ...typeOnlyRules,
    {
      name: "no-cycles",
      comment: "type-only imports make cycles too",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-worker-imports",
      comment: "worker entries run when they are loaded: start them with workerUrl()",
      severity: "error",
      from: {},
      to: { path: "^src/workers/" },
    },
    {
      name: "onnxruntime-in-one-place",
      comment: "only one file of the backend imports ONNX Runtime: it sees to it that nothing is reported",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/backends/onnx/onnxruntime.ts$" },
      to: { path: "node_modules/onnxruntime" },
    },
    {
      name: "no-tests",
      comment: "the program does not use its tests",
      severity: "error",
      from: { path: "^src/", pathNot: tests },
      to: { path: [tests, "^tests/"] },
    },
    {
      name: "known-folders",
      comment: "a new folder of src/ needs a row in this table",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: [...Object.keys(layers), "cli", "workers"].map(folder) },
      to: {},
    },
    {
      name: "resolvable",
      comment: "every import leads somewhere",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "^(node:)?(module|vitest)" },
    },
    {
      name: "declared",
      comment: "what is imported is in package.json",
      severity: "error",
      from: { path: "^src/", pathNot: `${tests}|^${page}` },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown", "npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "declared-page",
      comment: "what is bundled is in package.json, and nothing that a server needs",
      severity: "error",
      from: { path: `^${page}`, pathNot: tests },
      to: { dependencyTypes: ["npm", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["npm-dev"] },
    },
    {
      name: "page-apart",
      comment: "the page runs in a browser: it and the server know each other by the API alone",
      severity: "error",
      from: { path: `^${page}`, pathNot: tests },
      to: { path: "^src/", pathNot: `^${page}` },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
