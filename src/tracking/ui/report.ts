import { createContext } from "preact";

/** Tells the reader of the page that something failed; undefined takes back what the same owner told. */
export type Report = (problem: unknown, owner?: object) => void;

export const ReportContext = createContext<Report>(() => {});
