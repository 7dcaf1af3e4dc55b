/**
 * A bundle's folder name, {model}_{trainer}_{timestamp}, as a name that stays over retraining and a version. A name
 * without a timestamp is version 1.
 */
export interface ModelIdentity {
  readonly name: string;
  readonly version: string;
}

export function identityOf(bundleName: string): ModelIdentity {
  const [, name, version] = /^(.+)_(\d{8}-\d{6}(?:-\d+)?)$/.exec(bundleName) ?? [];
  return name === undefined || version === undefined ? { name: bundleName, version: "1" } : { name, version };
}

/** Whether a bundle is what a client asks for: by its whole name, or by the name that stays; with any version or one. */
export function isNamed(bundleName: string, wanted: { readonly name: string; readonly version?: string | undefined }) {
  const { name, version } = identityOf(bundleName);
  return (wanted.name === bundleName || wanted.name === name) && (wanted.version ?? version) === version;
}
