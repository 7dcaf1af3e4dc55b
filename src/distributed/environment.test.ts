import { describe, expect, it } from "vitest";
import { meetingPoint, rankFromEnvironment, threadsFromEnvironment, withoutPlace } from "./environment.ts";

const place = { RANK: "1", WORLD_SIZE: "2" };

describe("a process's environment", () => {
  it("tells its place; what is no such number is refused by name", () => {
    expect(rankFromEnvironment({})).toBeUndefined();
    expect(rankFromEnvironment({ ...place, LOCAL_WORLD_SIZE: "2" })).toEqual({
      rank: 1,
      worldSize: 2,
      localWorldSize: 2,
    });
    for (const wrong of [{ RANK: "2" }, { WORLD_SIZE: "" }, { LOCAL_WORLD_SIZE: "0" }, { RANK: "-1" }])
      expect(() => rankFromEnvironment({ ...place, ...wrong }), JSON.stringify(wrong)).toThrow(Object.keys(wrong)[0]);
  });

  it("tells threads and a port, each within its bounds", () => {
    expect(threadsFromEnvironment({})).toBeUndefined();
    expect(threadsFromEnvironment({ CIFAR_RANK_THREADS: "3" })).toBe(3);
    for (const text of ["0", "abc", "0.5", "-2", "1e9"])
      expect(() => threadsFromEnvironment({ CIFAR_RANK_THREADS: text }), text).toThrow(`CIFAR_RANK_THREADS is ${text}`);
    const at = (port: string, more = {}) =>
      meetingPoint("env://", { MASTER_ADDR: "h", MASTER_PORT: port, ...more }).port;
    expect(at("65535")).toBe(65_535);
    expect(at("65534", { TORCHELASTIC_USE_AGENT_STORE: "True" })).toBe(65_535);
    expect(() => at("65535", { TORCHELASTIC_USE_AGENT_STORE: "True" })).toThrow("MASTER_PORT is 65535");
    for (const port of ["0", "65536", "x"]) expect(() => at(port), port).toThrow(`MASTER_PORT is ${port}`);
  });

  it("gives its place to nobody else", () => {
    expect(withoutPlace({ ...place, LOCAL_RANK: "1", CIFAR_RANK_THREADS: "4", PATH: "/bin" })).toEqual({
      PATH: "/bin",
    });
  });
});
