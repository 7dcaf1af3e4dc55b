/** What the server writes its failures to; a pino logger is one. */
export interface ServerLog {
  error(fields: object, message: string): void;
}
