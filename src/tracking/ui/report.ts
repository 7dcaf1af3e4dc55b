import { createContext } from "preact";

/** Tells the reader of the page that something failed; undefined takes it back. */
export type Report = (problem: unknown) => void;

export const ReportContext = createContext<Report>(() => {});
