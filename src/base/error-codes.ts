/** Every error code with its meaning: the source of docs/errors.md. Keep the keys in alphabetical order. */
export const errorCodes = {
  DEVICE_UNAVAILABLE: "the requested device is not present or lacks a needed capability",
  GRAPH_INVALID: "a graph breaks a structural rule; this is a bug in the code that built it",
  INVALID_ARGUMENT: "a value passed by the caller is out of its range",
  NOT_DIFFERENTIABLE: "a gradient was asked for through an operation that has none",
  SHAPE_MISMATCH: "the shapes or element types of operands do not fit together",
  STATE_MISMATCH: "saved state does not fit the graph it is loaded into",
} as const;

export type ErrorCode = keyof typeof errorCodes;
