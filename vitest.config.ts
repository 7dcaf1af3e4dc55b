import { defineConfig } from "vitest/config";

/** Files that keep nothing between them but modules, which are then loaded once for all. */
const sharing = ["src/**/*.test.ts", "tests/{goldens,numerics,onnx}/**/*.test.ts"];

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "apart", include: ["tests/**/*.test.ts"], exclude: sharing } },
      { extends: true, test: { name: "sharing", include: sharing, isolate: false } },
    ],
  },
});
