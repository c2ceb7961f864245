// What is seen when there is nothing to see: loading, empty, no match, an error, not offered.

import { sentence } from "../lib/words.ts";
import type { ComponentChildren } from "preact";
import type { Answer } from "../lib/ask.ts";
import type { Problem } from "../lib/api.ts";
import { visible } from "./parts.tsx";

export function Skeleton({ height = "8rem" }: { height?: string }) {
  return <div class="skel" style={{ height }} aria-hidden="true" />;
}

export function Empty({ text, command, children }: { text: string; command?: string; children?: ComponentChildren }) {
  return <div class="empty"><p>{text}</p>{command && <pre>{command}</pre>}{children}</div>;
}

export function NoMatch({ filter, onDrop }: { filter: string; onDrop: () => void }) {
  return (
    <div class="empty">
      <p>Nothing matches <b>{visible(filter)}</b>.</p>
      <button type="button" class="btn tiny" onClick={onDrop}>Drop the filter</button>
    </div>
  );
}

export function ErrorBox({ problem, again }: { problem: Problem; again?: () => void }) {
  if (problem.notOffered) return <p class="note">This server does not offer that.</p>;
  if (problem.status === 403)
    return <p class="note"><b>Not for this role.</b> {visible(sentence(problem.detail))}</p>;
  return (
    <div class="note" role="alert">
      <p><b>{problem.title}.</b> {visible(problem.detail)}</p>
      <p class="faint">{problem.busy ? "The server is busy with work and answers the page less often. " : ""}{problem.code}
        {problem.status ? ` (${problem.status})` : ""}{problem.trace ? ` · trace ${problem.trace}` : ""}</p>
      {again && <button type="button" class="btn tiny" onClick={again}>Retry</button>}
    </div>
  );
}

// The answer, or what is seen instead of it.
export function Answered<T>({ answer, height, children }: { answer: Answer<T>; height?: string; children: (data: T) => ComponentChildren }) {
  const { data, problem, again } = answer;
  if (data === undefined) return problem ? <ErrorBox problem={problem} again={again} /> : <Skeleton height={height} />;
  return <>{problem && <ErrorBox problem={problem} again={again} />}{children(data)}</>;
}
