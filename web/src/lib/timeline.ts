// What a task went through as spans on rows, and the axis they are drawn on; long gaps are folded. Pure.

import { predictionOf } from "./band.ts";
import { num } from "./format.ts";
import type { Task } from "./wire.ts";
import { hasEnded, outcomeWord, reasonOf, reasonWord, stateOf } from "./words.ts";

export interface Span { from: number; to: number; kind: "wait" | "run" | "bad" | "still" | "predicted"; text: string }
export interface Row { name: string; spans: Span[]; end?: { t: number; bad: boolean; text: string }; predicted?: [number, number] }

// Rows: what was promised, the waits between, each attempt, and what is expected.
export function rowsOf(task: Task, now: number): Row[] {
  const rows: Row[] = [];
  const promised: [number, number] = [num(task.promise?.finish_p50_unix_us), num(task.promise?.finish_p90_unix_us)];
  if (promised[0] > 0) rows.push({ name: "Promised", spans: [], predicted: [promised[0], Math.max(...promised)] });
  const waits = waitsOf(task, now);
  if (waits.length > 0) rows.push({ name: "Waiting", spans: waits });
  for (const attempt of task.attempts ?? []) {
    const started = num(attempt.started_unix_us) || num(attempt.assigned_unix_us);
    if (started === 0) continue;
    const ended = num(attempt.ended_unix_us);
    const bad = ended > 0 && attempt.outcome !== "succeeded";
    const p50 = num(attempt.predicted_us);
    const latest = attempt === task.attempts?.at(-1);
    const p90 = num(attempt.predicted_p90_us) || predictionOf({ ...task, attempts: [attempt] }).p90;
    const row: Row = { name: `Attempt ${attempt.number}`, spans: [{ from: started, to: ended || now, kind: bad ? "bad" : stateOf(task) === "paused" && latest ? "still" : "run", text: attempt.worker }] };
    if (ended > 0) row.end = { t: ended, bad, text: bad ? `${outcomeWord(attempt.outcome)} on ${attempt.worker}` : "" };
    if (!hasEnded(task) && latest && ended === 0 && task.eta) row.predicted = pair(num(task.eta.finish_p50_unix_us), num(task.eta.finish_p90_unix_us));
    else if (p50 > 0) row.predicted = [started + p50, started + p90];
    rows.push(row);
  }
  if (stateOf(task) === "waiting" && num(task.eta?.start_p50_unix_us) > 0) {
    rows.push({ name: "Starts", spans: [], predicted: pair(num(task.eta?.start_p50_unix_us), num(task.eta?.start_p90_unix_us)) });
    rows.push({ name: "Is done", spans: [], predicted: pair(num(task.eta?.finish_p50_unix_us), num(task.eta?.finish_p90_unix_us)) });
  }
  return rows;
}
const pair = (a: number, b: number): [number, number] => [a, Math.max(a, b)];

function waitsOf(task: Task, now: number): Span[] {
  const spans: Span[] = [];
  if (task.waits && task.waits.length > 0)
    return task.waits.map((each): Span => {
      const word = reasonWord(reasonOf(each));
      return { from: num(each.from_unix_us), to: num(each.to_unix_us) || now, kind: "wait", text: each.culprit ? `${word}: ${each.culprit}` : word };
    }).filter((each) => each.to > each.from);
  let free = num(task.submitted_unix_us);
  for (const attempt of task.attempts ?? []) {
    const started = num(attempt.started_unix_us) || num(attempt.assigned_unix_us);
    if (started > free) spans.push({ from: free, to: started, kind: "wait", text: attempt.number > 1 ? "before the next attempt" : "before it started" });
    free = num(attempt.ended_unix_us) || Infinity;
  }
  if (task.waiting && free !== Infinity) {
    const since = Math.max(free, num(task.waiting.since_unix_us));
    if (since > free + 1000) spans.push({ from: free, to: since, kind: "wait", text: "another reason" });
    spans.push({ from: since, to: now, kind: "wait", text: reasonWord(reasonOf(task.waiting)) });
  } else if (hasEnded(task) && free !== Infinity && num(task.finished_unix_us) > free + 1e6)
    spans.push({ from: free, to: num(task.finished_unix_us), kind: "wait", text: "after the last attempt" });
  return spans;
}

export interface Share { text: string; us: number; kind: "wait" | "run" | "bad" }
export function sharesOf(task: Task, now: number): Share[] {
  const rows = rowsOf(task, now);
  const found: Share[] = [];
  for (const row of rows)
    for (const span of row.spans) {
      const kind = span.kind === "wait" ? "wait" : span.kind === "bad" ? "bad" : "run";
      const text = kind === "wait" ? `Waited: ${span.text}` : `${row.name}${kind === "bad" ? `, lost: ${row.end?.text ?? ""}` : row.end ? "" : ", running"}`;
      found.push({ text, us: span.to - span.from, kind });
    }
  return found;
}

// An axis that folds each gap of more than four fifths of it: a gap is where no edge of a span lies.
export interface Axis { from: number; to: number; x: (t: number) => number; folds: { x: number; from: number; to: number }[] }
const FOLD_SHARE = 0.8;
const FOLDED = 0.06;  // what remains of a fold, of the width

export function axisOf(rows: readonly Row[], now: number | null, left: number, right: number): Axis {
  const edges = rows.flatMap((row) => [...row.spans.flatMap((each) => [each.from, each.to]), ...(row.predicted ?? [])]);
  if (now !== null) edges.push(now);
  const sorted = [...new Set(edges.filter((each) => each > 0 && Number.isFinite(each)))].sort((a, b) => a - b);
  if (sorted.length < 2) {
    const at = sorted[0] ?? now ?? 0;
    sorted.splice(0, sorted.length, at - 1e6, at + 1e6);
  }
  const whole = sorted[sorted.length - 1] - sorted[0];
  const gap = sorted.slice(1).findIndex((each, i) => each - sorted[i] > FOLD_SHARE * whole);
  if (gap < 0) {
    const margin = whole * 0.03;
    const [from, to] = [sorted[0] - margin, sorted[sorted.length - 1] + margin];
    return { from, to, folds: [], x: (t) => left + ((right - left) * (t - from)) / (to - from) };
  }
  const [a, b] = [sorted[gap], sorted[gap + 1]];
  const rest = whole - (b - a);
  if (rest < 0.02 * whole && sorted.length === 2) return { from: a, to: b, folds: [], x: (t) => left + ((right - left) * (t - a)) / (b - a) };
  const fold = FOLDED * (right - left);
  const scale = (right - left - fold) / Math.max(1, rest);
  const start = sorted[0];
  const x = (t: number) => {
    if (t <= a) return left + (t - start) * scale;
    if (t >= b) return left + (a - start) * scale + fold + (t - b) * scale;
    return left + (a - start) * scale + (fold * (t - a)) / (b - a);
  };
  return { from: start, to: sorted[sorted.length - 1], x, folds: [{ x: (x(a) + x(b)) / 2, from: a, to: b }] };
}
