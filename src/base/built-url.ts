/**
 * Address of a file of the build. A caller that runs from the sources (a test) is pointed at the build beside them.
 * @param path below dist/, such as "tracking/ui/index.html"
 */
export function builtUrl(path: string): URL {
  const here = import.meta.url;
  return new URL(path, here.endsWith(".ts") ? new URL("../../dist/", here) : new URL("../", here));
}
