import { describe, expect, it } from "vitest";
import { PipelineError } from "../../base/errors.ts";
import { codeOfLine, RecentErrors } from "./recent-errors.ts";

describe("RecentErrors", () => {
  it("forgets each minute when it is an hour old, and tells apart at most 50 codes a minute", () => {
    let now = 0;
    const errors = new RecentErrors(() => now);
    errors.add("A");
    now = 30 * 60_000;
    errors.add("A");
    for (let i = 0; i < 60; i++) errors.add(`code ${i}`);
    expect(errors.byCode()).toMatchObject({ A: 2, OTHER: 11 });
    now = 61 * 60_000;
    expect(errors.byCode()).toMatchObject({ A: 1, OTHER: 11 });
    now = 91 * 60_000;
    expect(errors.byCode()).toEqual({});
  });
});

describe("codeOfLine", () => {
  it("takes the code of the error, else its name", () => {
    const coded = new PipelineError("QUEUE_FULL", "full", { remedy: "wait" });
    expect([{ err: coded }, { err: new TypeError("x") }, {}, "text", null].map(codeOfLine)).toEqual([
      "QUEUE_FULL",
      "TypeError",
      "NONE",
      "NONE",
      "NONE",
    ]);
  });
});
