import { useRef, useState } from "preact/hooks";
import { type Completion, complete, type KnownFields } from "./filter-completion.ts";

interface FilterFieldProps {
  readonly value: string;
  readonly known: KnownFields;
  onInput(value: string): void;
  /** It is asked for now, not only when the typing is over. */
  onEnter(): void;
}

const nothing: Completion = { from: 0, to: 0, proposals: [] };

/** A filter in MLflow's grammar, with proposals for the word at the caret. */
export function FilterField({ value, known, onInput, onEnter }: FilterFieldProps) {
  const input = useRef<HTMLInputElement>(null);
  const [completion, setCompletion] = useState(nothing);
  const [active, setActive] = useState(-1);
  const propose = () => {
    const { value: text, selectionStart } = input.current!;
    setCompletion(complete(text, selectionStart ?? text.length, known));
    setActive(-1);
  };
  const close = () => {
    setCompletion(nothing);
    setActive(-1);
  };
  const accept = (proposal: string) => {
    const { from, to } = completion;
    const before = `${value.slice(0, from)}${proposal} `;
    onInput(before + value.slice(to).trimStart());
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(before.length, before.length);
      propose();
    });
  };
  const { proposals } = completion;
  const isOpen = proposals.length > 0;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && active < 0) {
      close();
      onEnter();
      return;
    }
    if (!isOpen) {
      if (event.key === "ArrowDown") propose();
      return;
    }
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const chosen = proposals[event.key === "Tab" ? Math.max(active, 0) : active];
    if (way !== undefined) setActive((active + way + proposals.length) % proposals.length);
    else if (event.key === "Escape") close();
    else if ((event.key === "Enter" || (event.key === "Tab" && active >= 0)) && chosen !== undefined) accept(chosen);
    else return;
    event.preventDefault();
  };
  return (
    <div class="field wide completed">
      <label for="filter">Filter (MLflow's search syntax)</label>
      <input
        id="filter"
        type="text"
        role="combobox"
        autocomplete="off"
        spellcheck={false}
        aria-autocomplete="list"
        aria-expanded={isOpen}
        aria-controls="filter-proposals"
        aria-activedescendant={active >= 0 ? `proposal-${active}` : undefined}
        placeholder="metrics.val_accuracy > 0.9 AND params.model.name = 'resnet9'"
        value={value}
        ref={input}
        onInput={(event) => {
          onInput(event.currentTarget.value);
          propose();
        }}
        onClick={propose}
        onBlur={close}
        onKeyDown={onKeyDown}
      />
      <div id="filter-proposals" role="listbox" aria-label="Proposals" hidden={!isOpen}>
        {proposals.map((proposal, index) => (
          <div
            key={proposal}
            id={`proposal-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === active}
            // The field keeps the focus.
            onMouseDown={(event) => {
              event.preventDefault();
              accept(proposal);
            }}
          >
            {proposal}
          </div>
        ))}
      </div>
    </div>
  );
}
