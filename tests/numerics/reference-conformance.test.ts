import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import { describeConformance } from "./conformance.ts";

/** Shows that the bounds leave room for float32 rounding alone, and that the interpreter's executor keeps state. */
describeConformance("reference executor in float32", async () => createReferenceExecutor());
