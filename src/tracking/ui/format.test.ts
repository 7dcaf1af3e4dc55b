import { describe, expect, it } from "vitest";
import { duration, number } from "./format.ts";

describe("number", () => {
  it("has five digits, and all of those before the point", () => {
    expect([0.123456, -9.87654321, 1234.56, 123456.7, -1234567.8].map(number)).toEqual([
      "0.12346",
      "-9.8765",
      "1234.6",
      "123457",
      "-1234568",
    ]);
    expect([0.00001234, 12345678.5, 123456789].map(number)).toEqual(["1.234e-5", "1.235e+7", "123456789"]);
  });
});

describe("duration", () => {
  it("counts days when there are more than two", () => {
    const hour = 3_600_000;
    expect([59_000, hour / 2, 48 * hour, 60 * hour].map(duration)).toEqual([
      "59.0 s",
      "30.0 min",
      "48.0 h",
      "2.5 days",
    ]);
  });
});
