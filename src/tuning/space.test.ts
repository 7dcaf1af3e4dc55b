import { describe, expect, expectTypeOf, it } from "vitest";
import { fromUnit, toUnit } from "./axis.ts";
import { choice, createSpace, fillSpace, integer, logUniform, type ParamsOf, uniform, when } from "./space.ts";

describe("createSpace", () => {
  it("puts a condition behind what it looks at, over several levels", () => {
    const space = createSpace({
      steps: when("nesterov", [true], integer(1, 4)),
      nesterov: when("optimizer", ["sgd"], choice([true, false])),
      optimizer: choice(["sgd", "adamw"]),
    });
    expect(Object.keys(space.dimensions)).toEqual(["optimizer", "nesterov", "steps"]);
    const first = fillSpace(space, (_name, domain) => fromUnit(domain, 0));
    expect(first).toEqual({ optimizer: "sgd", nesterov: true, steps: 1 });
    expect(fillSpace(space, (_name, domain) => fromUnit(domain, 0.99))).toEqual({ optimizer: "adamw" });
  });

  it("knows the types of its parameters", () => {
    const dimensions = {
      rate: logUniform(0.1, 1),
      optimizer: choice(["sgd", "adamw"]),
      momentum: when("optimizer", ["sgd"], uniform(0, 1)),
    } as const;
    type Found = ParamsOf<typeof dimensions>;
    expectTypeOf<Found["rate"]>().toEqualTypeOf<number>();
    expectTypeOf<Found["optimizer"]>().toEqualTypeOf<"sgd" | "adamw">();
    expectTypeOf<Found["momentum"]>().toEqualTypeOf<number | undefined>();
    expect(createSpace(dimensions).dimensions).toEqual(dimensions);
  });

  it.each([
    [{ x: uniform(2, 1) }, "x goes from 2 to 1"],
    [{ x: uniform(0, Number.NaN) }, "x goes from 0 to NaN"],
    [{ x: logUniform(0, 1) }, "x goes from 0 on a log scale"],
    [{ x: integer(0.5, 2) }, "x is a whole number between 0.5 and 2"],
    [{ x: choice([]) }, "x has no values"],
    [{ x: choice([1, 1]) }, "x has a value twice"],
    [{ x: when("y", [1], uniform(0, 1)) }, "x depends on y, which is no other parameter"],
    [{ x: when("y", [3], uniform(0, 1)), y: choice([1, 2]) }, "x depends on y being 3, which it never is"],
    [{ x: when("y", [1], choice([1])), y: when("x", [1], choice([1])) }, "which is no other parameter"],
    [{}, "a search space needs a parameter"],
  ])("refuses %o", (dimensions, message) => {
    expect(() => createSpace(dimensions)).toThrow(message);
  });
});

describe("fromUnit", () => {
  it("gives each whole number the same share, also of a log scale's integers their own", () => {
    const counts = new Map<unknown, number>();
    for (let i = 0; i < 6000; i++) {
      const value = fromUnit(integer(1, 6).domain, (i + 0.5) / 6000);
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    expect([...counts.values()]).toEqual([1000, 1000, 1000, 1000, 1000, 1000]);
    expect(fromUnit(integer(1, 1024, "log").domain, 0)).toBe(1);
    expect(fromUnit(integer(1, 1024, "log").domain, 0.999999)).toBe(1024);
  });

  it("is undone by toUnit on a log scale", () => {
    const { domain } = logUniform(1e-5, 10);
    for (const u of [0, 0.25, 0.5, 0.9]) expect(toUnit(domain, fromUnit(domain, u))).toBeCloseTo(u, 12);
  });
});
