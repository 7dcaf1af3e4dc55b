import { trackingLimits as limits } from "../types.ts";
import { invalid } from "../validation.ts";
import { type Token, tokenize } from "./tokens.ts";

export type Entity = "metric" | "param" | "tag" | "attribute" | "dataset";

/** What a comparison or an order looks at. */
export interface Field {
  readonly entity: Entity;
  readonly key: string;
}

export type NumberComparator = "=" | "!=" | "<" | "<=" | ">" | ">=";
export type TextComparator = "=" | "!=" | "LIKE" | "ILIKE";

/** One comparison; a filter is a list of them, all of which must hold. */
export type Condition = Field &
  (
    | { readonly comparator: NumberComparator; readonly value: number }
    | { readonly comparator: TextComparator; readonly value: string }
    | { readonly comparator: "IN" | "NOT IN"; readonly value: readonly string[] }
    | { readonly comparator: "IS NULL" | "IS NOT NULL" }
  );

export type Order = Field & { readonly direction: "ascending" | "descending" };

/** What can be searched for: which fields there are, and what they can be compared with. */
export interface Grammar {
  readonly entities: readonly Entity[];
  /** Other spellings lead to the same attribute. */
  readonly attributes: Readonly<
    Record<string, { readonly name: string; readonly type: "text" | "number" | "integer" }>
  >;
  /** Attributes that can be ordered by. */
  readonly orderable: readonly string[];
  /** Attributes that take IN and NOT IN. */
  readonly lists: readonly string[];
  /** Attributes without LIKE. */
  readonly exact?: readonly string[];
  /** Entities that take IS NULL and IS NOT NULL. */
  readonly nullable: readonly Entity[];
}

const entityWords: Readonly<Record<string, Entity>> = {
  metric: "metric",
  metrics: "metric",
  parameter: "param",
  parameters: "param",
  param: "param",
  params: "param",
  tag: "tag",
  tags: "tag",
  attribute: "attribute",
  attributes: "attribute",
  attr: "attribute",
  run: "attribute",
  dataset: "dataset",
  datasets: "dataset",
};

const numberComparators: readonly string[] = ["=", "!=", "<", "<=", ">", ">="];
const textComparators: readonly string[] = ["=", "!=", "LIKE", "ILIKE"];

/** @throws TRACKING_INVALID for what is not in the grammar */
export function parseFilter(text: string | undefined, grammar: Grammar): Condition[] {
  if (text === undefined || text.trim() === "") return [];
  const reader = new Reader(text, grammar);
  const conditions = [reader.condition()];
  while (!reader.done) {
    reader.word("AND");
    conditions.push(reader.condition());
  }
  checkSearchCount("clauses in its filter", conditions.length, limits.searchConditions);
  const listed = conditions.map((condition) =>
    condition.comparator === "IN" || condition.comparator === "NOT IN" ? condition.value.length : 0,
  );
  checkSearchCount(
    "values in its lists",
    listed.reduce((sum, count) => sum + count, 0),
    limits.searchListValues,
  );
  return conditions;
}

/** @throws TRACKING_INVALID for more than a database can take */
export function checkSearchCount(what: string, count: number, limit: number): void {
  if (count > limit)
    throw invalid(`A search can have at most ${limit} ${what}. Got ${count}`, "split it into several", {
      count,
      limit,
    });
}

/** @throws TRACKING_INVALID for what is not in the grammar, and for a field that is given twice */
export function parseOrder(clauses: readonly string[] | undefined, grammar: Grammar): Order[] {
  checkSearchCount("fields to order by", clauses?.length ?? 0, limits.searchOrders);
  const orders = (clauses ?? []).map((clause) => new Reader(clause, grammar).order());
  const seen = new Set(orders.map(({ entity, key }) => `${entity} ${key}`));
  if (seen.size < orders.length)
    throw invalid(`\`order_by\` contains duplicate fields: ${JSON.stringify(clauses)}`, "name each field once");
  return orders;
}

/** The same for what is ordered by its attributes alone. */
export function parseAttributeOrder(clauses: readonly string[] | undefined, grammar: Grammar): Order[] {
  const orders = parseOrder(clauses, grammar);
  const other = orders.find(({ entity }) => entity !== "attribute");
  if (other !== undefined) throw invalid(`Invalid order_by entity: ${other.entity}`, "order by an attribute");
  return orders;
}

class Reader {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  readonly #grammar: Grammar;
  #position = 0;

  constructor(text: string, grammar: Grammar) {
    this.#text = text;
    this.#tokens = tokenize(text);
    this.#grammar = grammar;
  }

  get done(): boolean {
    return this.#position >= this.#tokens.length;
  }

  word(word: string): void {
    if (!this.#isWord(this.#next(), word)) throw this.#invalid(`expected ${word}`);
  }

  order(): Order {
    const field = this.#field("order");
    if (this.done) return { ...field, direction: "ascending" };
    const direction = this.#next();
    if (!this.done) throw this.#invalid("expected one field and ASC or DESC");
    if (this.#isWord(direction, "ASC")) return { ...field, direction: "ascending" };
    if (this.#isWord(direction, "DESC")) return { ...field, direction: "descending" };
    throw this.#invalid("Invalid ordering key, expected ASC or DESC");
  }

  condition(): Condition {
    const field = this.#field("filter");
    const comparator = this.#comparator();
    if (comparator === "IS NULL" || comparator === "IS NOT NULL") {
      if (!this.#grammar.nullable.includes(field.entity))
        throw this.#invalid(`IS NULL / IS NOT NULL is not supported for ${field.entity} '${field.key}'`);
      return { ...field, comparator };
    }
    const type = this.#typeOf(field);
    if (type !== "text") {
      if (!numberComparators.includes(comparator))
        throw this.#invalid(`Invalid comparator '${comparator}' for a number`);
      return { ...field, comparator: comparator as NumberComparator, value: this.#number(field, type) };
    }
    if (comparator === "IN" || comparator === "NOT IN") {
      if (!this.#takesLists(field))
        throw this.#invalid(`${field.key} does not support comparison with a list of quoted string values`);
      return { ...field, comparator, value: this.#list() };
    }
    const exact = field.entity === "attribute" && this.#grammar.exact?.includes(field.key) === true;
    if (!textComparators.includes(comparator) || (exact && comparator.endsWith("LIKE")))
      throw this.#invalid(`Invalid comparator '${comparator}' for ${field.entity} '${field.key}'`);
    return { ...field, comparator: comparator as TextComparator, value: this.#quoted(field) };
  }

  #field(use: "filter" | "order"): Field {
    const first = this.#next();
    if (first === undefined || !isName(first)) throw this.#invalid("Expected 'Identifier'");
    const parts = [wordOf(first)];
    const dotted = this.#peekMark(".");
    if (!dotted) return this.#attribute(parts[0]!, use);
    const entity = entityWords[wordOf(first)];
    if (entity === undefined || !this.#grammar.entities.includes(entity))
      throw this.#invalid(
        `Invalid entity type '${wordOf(first)}'. Valid values are ${this.#grammar.entities.join(", ")}`,
      );
    parts.length = 0;
    while (this.#peekMark(".")) {
      this.#position += 1;
      const part = this.#next();
      // "metrics.0.5" is read as a name and a number.
      if (part === undefined || !(isName(part) || part.kind === "number")) throw this.#invalid("Expected a key");
      parts.push(wordOf(part));
    }
    const key = parts.join(".");
    if (entity === "attribute") return this.#attribute(key, use);
    if (entity === "dataset" && !["name", "digest", "context"].includes(key))
      throw this.#invalid(`Invalid dataset key '${key}' specified. Valid keys are name, digest, context`);
    return { entity, key };
  }

  #attribute(word: string, use: "filter" | "order"): Field {
    const { attributes, orderable } = this.#grammar;
    const key = Object.hasOwn(attributes, word) ? attributes[word]!.name : undefined;
    if (key === undefined || (use === "order" && !orderable.includes(key))) {
      const valid = use === "order" ? orderable : Object.keys(attributes);
      throw this.#invalid(`Invalid attribute key '${word}' specified. Valid keys are ${valid.join(", ")}`);
    }
    return { entity: "attribute", key };
  }

  #typeOf({ entity, key }: Field): "text" | "number" | "integer" {
    if (entity === "metric") return "number";
    if (entity !== "attribute") return "text";
    return Object.values(this.#grammar.attributes).find(({ name }) => name === key)!.type;
  }

  #takesLists({ entity, key }: Field): boolean {
    return entity === "dataset" || (entity === "attribute" && this.#grammar.lists.includes(key));
  }

  #comparator(): string {
    const token = this.#next();
    if (token?.kind === "operator") return token.text;
    const word = token?.kind === "name" ? token.text.toUpperCase() : "";
    if (word === "LIKE" || word === "ILIKE" || word === "IN") return word;
    if (word === "NOT") {
      this.word("IN");
      return "NOT IN";
    }
    if (word !== "IS") throw this.#invalid("Invalid comparison clause, expected a comparator");
    const isNot = this.#isWord(this.#tokens[this.#position], "NOT");
    if (isNot) this.#position += 1;
    this.word("NULL");
    return isNot ? "IS NOT NULL" : "IS NULL";
  }

  #number(field: Field, type: "number" | "integer"): number {
    const token = this.#next();
    if (token?.kind !== "number")
      throw this.#invalid(`Expected numeric value type for ${field.entity} '${field.key}'. Found ${token?.text}`);
    const value = Number(token.text);
    if (type === "integer" && !/^[-+]?\d+$/.test(token.text))
      throw this.#invalid(`Invalid value for numeric attribute '${field.key}': '${token.text}'`);
    return value;
  }

  #quoted(field: Field): string {
    const token = this.#next();
    if (token?.kind === "quoted" && token.quote !== "`") return token.value;
    throw this.#invalid(
      `Expected a quoted string value for ${field.entity} '${field.key}' (e.g. 'my-value'). Got value ${token?.text}`,
    );
  }

  #list(): string[] {
    if (!this.#peekMark("(")) throw this.#invalid("expected a list such as ('a', 'b')");
    this.#position += 1;
    const values: string[] = [];
    for (;;) {
      const token = this.#next();
      if (token?.kind !== "quoted" || token.quote === "`")
        throw this.#invalid("While parsing a list in the query, expected a non-empty list of string values");
      values.push(token.value);
      if (this.#peekMark(",")) this.#position += 1;
      if (!this.#peekMark(")")) continue;
      this.#position += 1;
      return values;
    }
  }

  #next(): Token | undefined {
    return this.#tokens[this.#position++];
  }

  #peekMark(mark: string): boolean {
    const token = this.#tokens[this.#position];
    return token?.kind === "mark" && token.text === mark;
  }

  #isWord(token: Token | undefined, word: string): boolean {
    return token?.kind === "name" && token.text.toUpperCase() === word;
  }

  #invalid(what: string): Error {
    return invalid(`${what} in ${JSON.stringify(this.#text.slice(0, 300))}`, "see MLflow's search syntax", {
      text: this.#text.slice(0, 1000),
    });
  }
}

function isName(token: Token): boolean {
  return token.kind === "name" || (token.kind === "quoted" && token.quote !== "'");
}

function wordOf(token: Token): string {
  return token.kind === "quoted" ? token.value : token.text;
}
