import type { ErrorCode, YAMLParseError, YAMLWarning } from "yaml";

/** What the parser's codes mean for someone who wrote the file by hand. */
const words = {
  ALIAS_PROPS: "an alias (*name) can't have an anchor or a tag of its own",
  BAD_ALIAS: "an alias (*name) without a name, or with one that can't be read; put quotes around text with *",
  BAD_COLLECTION_TYPE: "a tag that does not fit the value",
  BAD_DIRECTIVE: "a line that starts with %; put quotes around it, or leave it out",
  BAD_DQ_ESCAPE: "an unknown escape in double quotes; write \\\\ for a backslash, or use single quotes",
  BAD_INDENT: "the indentation does not fit the lines above",
  BAD_PROP_ORDER: "an anchor or a tag in the wrong place",
  BAD_SCALAR_START: "text can't begin with this sign; put quotes around it",
  BLOCK_AS_IMPLICIT_KEY:
    "a second `:` on this line, or a line that is indented too far; put quotes around text with `: `",
  BLOCK_IN_FLOW: "a list or mapping of several lines within brackets",
  DUPLICATE_KEY: "this key is there twice; keep one of them",
  IMPOSSIBLE: "this line can't be read",
  KEY_OVER_1024_CHARS: "a key of more than 1024 characters",
  MISSING_CHAR: "a sign is missing: a closing quote or bracket, a comma, a `:` or a space behind it",
  MULTILINE_IMPLICIT_KEY: "a key goes over several lines; is a `:` missing?",
  MULTIPLE_ANCHORS: "more than one anchor (&name) on one value",
  MULTIPLE_DOCS: "a second document begins here (---); keep one",
  MULTIPLE_TAGS: "more than one tag on one value",
  NON_STRING_KEY: "a key that is no text",
  RESOURCE_EXHAUSTION: "it is nested too deeply",
  TAB_AS_INDENT: "a tab as indentation; use spaces",
  TAG_RESOLVE_FAILED: "an unknown tag (!name); put quotes around text with !",
  UNEXPECTED_TOKEN: "something that does not belong here; put quotes around text with special signs",
} as const satisfies Record<ErrorCode, string>;

/** A fault of YAML in the words of who wrote the file, not of the parser's programmers. */
export function describeYamlFault({ code }: YAMLParseError | YAMLWarning): string {
  return words[code];
}
