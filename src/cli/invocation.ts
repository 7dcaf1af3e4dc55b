import { relative } from "node:path";

/** How this program was started, to be typed again: it never fetches a package of the same name. */
export function invocation(env: NodeJS.ProcessEnv = process.env, program = process.argv[1] ?? ""): string {
  if (/^(cifar|start|stack)$/.test(env.npm_lifecycle_event ?? "")) return "npm run cifar --";
  if (!program.endsWith("cifar.mjs")) return "cifar";
  const near = relative(process.cwd(), program);
  const path = near.startsWith("..") ? program : near;
  return `node ${/[^\w./\\:-]/.test(path) ? JSON.stringify(path) : path}`;
}

/** A message of the layers below, which write commands as `cifar train`, as they are typed here. */
export function asTyped(message: string): string {
  return message.replaceAll(/`cifar (?=[a-z])/g, `\`${invocation()} `);
}
