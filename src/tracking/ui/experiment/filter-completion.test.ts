import { describe, expect, it } from "vitest";
import { complete, fieldName, isWhole, type KnownFields, quoted } from "./filter-completion.ts";

const known: KnownFields = {
  fields: ["metrics.val_accuracy", "metrics.val_loss", "params.model.name", "tags.`my note`"],
  valuesOf: (field) =>
    ({
      "params.model.name": ["resnet9", "airbench"],
      "tags.note": ["it's", `"it's"`],
      "attributes.status": ["FINISHED", "FAILED"],
    })[field] ?? [],
};

/** The proposals at the bar in the text, and the text with the first one taken. */
function at(marked: string): { proposals: readonly string[]; taken: string } {
  const caret = marked.indexOf("|");
  const text = marked.replace("|", "");
  const { from, to, proposals } = complete(text, caret, known);
  return { proposals, taken: `${text.slice(0, from)}${proposals[0] ?? ""}${text.slice(to)}` };
}

describe("complete", () => {
  it("begins with a field", () => {
    expect(at("|").proposals).toEqual(expect.arrayContaining(["metrics.val_accuracy", "params.model.name"]));
    expect(at("acc|").proposals).toEqual(["metrics.val_accuracy"]);
    expect(at("metrics.val_l|").taken).toBe("metrics.val_loss");
    expect(at("ATTRIBUTES.ST|").proposals).toEqual(["attributes.status", "attributes.start_time"]);
  });

  it("offers the comparators that the field takes", () => {
    expect(at("metrics.val_loss |").proposals).toEqual([">", ">=", "<", "<=", "=", "!="]);
    expect(at("attributes.start_time |").proposals).toContain(">=");
    expect(at("params.model.name L|").proposals).toEqual(["LIKE", "ILIKE", "IS NULL", "IS NOT NULL"]);
    expect(at("tags.`my note` |").proposals).toContain("IS NULL");
    expect(at("attributes.status |").proposals).not.toContain("IS NULL");
  });

  it("offers the values that runs have, also in the middle of a filter", () => {
    expect(at("params.model.name = |").proposals).toEqual(["'resnet9'", "'airbench'"]);
    expect(at("params.model.name = 'air| AND metrics.val_loss < 1").taken).toBe(
      "params.model.name = 'airbench' AND metrics.val_loss < 1",
    );
    expect(at("metrics.val_loss < |").proposals).toEqual([]);
  });

  it("leaves a value alone whose quotes are closed", () => {
    expect(at("params.model.name = 'air'|").proposals).toEqual([]);
    expect(at("params.model.name = 'air|").proposals).toEqual(["'airbench'"]);
  });

  it("writes a value with a quote in the other ones, and none with both", () => {
    expect(at("tags.note = |").proposals).toEqual([`"it's"`]);
    expect(at("tags.note = 'it|").taken).toBe(`tags.note = "it's"`);
    expect([`a`, `5"`, `'"`].map(quoted)).toEqual([`'a'`, `'5"'`, undefined]);
  });

  it("goes on after a comparison", () => {
    expect(at("attributes.status = 'FINISHED' |").proposals).toEqual(["AND"]);
    expect(at("params.`model.name` IS NOT NULL |").proposals).toEqual(["AND"]);
    expect(at("attributes.run_id IN ('a', 'b') |").proposals).toEqual(["AND"]);
    expect(at("attributes.run_id NOT IN ('a', |").proposals).toEqual([]);
    expect(at("metrics.val_loss<1 AND params.m|").taken).toBe("metrics.val_loss<1 AND params.model.name");
  });
});

describe("isWhole", () => {
  it("tells a filter that can be asked from one that is being typed", () => {
    for (const text of ["", "metrics.a > 1", "tags.a IS NULL", "metrics.a > 1 AND params.b = 'c d'", "a IN ('b', 'c')"])
      expect(isWhole(text), text).toBe(true);
    for (const text of ["metrics.a", "metrics.a >", "metrics.a > 1 AND", "tags.a IS NOT", "a IN ('b',"])
      expect(isWhole(text), text).toBe(false);
  });
});

describe("fieldName", () => {
  it("quotes what is no plain name", () => {
    expect(fieldName("metrics", "val_loss")).toBe("metrics.val_loss");
    expect(fieldName("params", "model.name")).toBe("params.model.name");
    expect(fieldName("metrics", "system/cpu")).toBe("metrics.`system/cpu`");
  });
});
