import { describe, expect, it } from "vitest";
import { loadConfig } from "../config/load.ts";
import { input } from "../graph/build.ts";
import type { Model } from "../models/model.ts";
import { models } from "../models/registry.ts";
import { trace } from "../nn/trace.ts";
import { configuredModel } from "./configured-model.ts";

const configured = (...overrides: readonly string[]): Model =>
  configuredModel(loadConfig({ env: {}, overrides }).config, { classes: 7, height: 32, width: 32 });

describe("configuredModel", () => {
  it.each(Object.keys(models))("builds %s for the images and classes that are there", (name) => {
    expect(configured(`model.name=${name}`)).toMatchObject({ name, classes: 7, height: 32, width: 32 });
  });

  it.each([
    ["mobilenet", "mobilenet_v3_large"],
    ["efficientnet", "efficientnet_b0"],
    ["resnet", "resnet18"],
    ["densenet", "densenet121"],
    ["regnet", "regnet_y_400mf"],
  ])("takes the family %s for %s", (family, variant) => {
    expect(configured(`model.name=${family}`).name).toBe(variant);
  });

  it.each(["resnet18", "densenet121", "regnet_y_400mf", "mobilenet_v3_large"])(
    "gives %s the configured dropout",
    (name) => {
      const uniforms = (rate: number) =>
        trace(
          configured(`model.name=${name}`, `model.dropout_rate=${rate}`).module,
          input("images", "float32", [2, 3, 32, 32]),
          "train",
        ).uniforms.length;
      expect([uniforms(0.2), uniforms(0)]).toEqual([1, 0]);
    },
  );
});
