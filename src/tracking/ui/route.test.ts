import { describe, expect, it } from "vitest";
import { link, parseRoute } from "./route.ts";

describe("parseRoute", () => {
  it("reads what a link says", () => {
    const { words, query } = parseRoute(link(["models", "a/b 100%"], { tab: "x&y" }));
    expect(words).toEqual(["models", "a/b 100%"]);
    expect(query.get("tab")).toBe("x&y");
  });
  it("keeps a word that was typed with a bare %", () => {
    expect(parseRoute("#/models/100%").words).toEqual(["models", "100%"]);
  });
});
