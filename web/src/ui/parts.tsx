// Small parts of all pages: names, times, panels, pills, bands, bars, numbers.

import type { ComponentChildren, JSX } from "preact";
import { bandShape } from "../lib/band.ts";
import { useCell } from "../lib/cell.ts";
import { NARROW, duration, predicted } from "../lib/format.ts";
import { serverNow, tick } from "../lib/live.ts";
import { zone } from "../lib/prefs.ts";
import { link } from "../lib/router.ts";
import { ago, clock, isoTitle, moment, predictedMoment, until } from "../lib/time.ts";
import { Glyph } from "./glyph.tsx";

type Children = { children?: ComponentChildren };

// The server's clock; the view is drawn anew each second.
export function useNow(): number {
  useCell(tick);
  return serverNow();
}

// Text of others, as text: what would hide or turn its neighbours is shown.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
export function visible(text: string): string {
  return text.replace(HIDDEN, (each) => `‹U+${each.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}
export function Name({ children }: { children: string }) {
  return <bdi>{visible(children)}</bdi>;
}

export function Time({ us, seconds = true }: { us: number; seconds?: boolean }) {
  const where = useCell(zone);
  if (us <= 0) return <span>–</span>;
  const now = serverNow();
  return <time dateTime={new Date(us / 1e3).toISOString()} title={isoTitle(us)}>{seconds ? moment(us, now, where) : clock(us, where, false)}</time>;
}
export function PredictedTime({ us }: { us: number }) {
  const where = useCell(zone);
  if (us <= 0) return <span>–</span>;
  return <time class="pred" dateTime={new Date(us / 1e3).toISOString()} title={isoTitle(us)}>{predictedMoment(us, serverNow(), where)}</time>;
}
export function Ago({ us }: { us: number }) {
  const now = useNow();
  return us > 0 ? <time dateTime={new Date(us / 1e3).toISOString()} title={isoTitle(us)}>{ago(us, now)}</time> : <span>–</span>;
}
export function Until({ us }: { us: number }) {
  const now = useNow();
  return us > 0 ? <time class="pred" dateTime={new Date(us / 1e3).toISOString()} title={isoTitle(us)}>{until(us, now)}</time> : <span>–</span>;
}

interface PanelProps extends Children {
  title?: ComponentChildren;
  sub?: ComponentChildren;
  tools?: ComponentChildren;
  class?: string;
  label?: string;
  heading?: 1 | 2;
}
export function Panel({ title, sub, tools, class: cls = "", label, heading = 2, children }: PanelProps) {
  const head = heading === 1 ? <h1 class="plain">{title}</h1> : <h2>{title}</h2>;
  return (
    <section class={`panel ${cls}`} aria-label={label}>
      {title !== undefined && <header>{head}{sub && <small>{sub}</small>}<span class="grow" />{tools}</header>}
      <div class="body">{children}</div>
    </section>
  );
}

// A region that scrolls sideways by key, too.
export function Scroll({ label, flush, children }: Children & { label: string; flush?: boolean }) {
  return <div class={`tablebox ${flush ? "flush" : ""}`} tabIndex={0} role="region" aria-label={label}>{children}</div>;
}

export function Verdict({ chips, title, children, acts }: Children & { chips?: ComponentChildren; title: ComponentChildren; acts?: ComponentChildren }) {
  return (
    <div class="verdict">
      {chips && <div class="row">{chips}</div>}
      <h1>{title}</h1>
      {children}
      {acts && <div class="acts">{acts}</div>}
    </div>
  );
}

const KINDS: Record<string, string> = {
  running: "run", assigned: "run", succeeded: "good", dead: "bad", expired: "bad", ready: "good", draining: "warn",
  cordoned: "warn", suspect: "warn", breaker: "bad",
};
export function kindOf(state: string): string {
  return KINDS[state] ?? "";
}
export function Pill({ state, text }: { state: string; text?: string }) {
  return <span class={`chip ${kindOf(state)}`}><Glyph name={state} />{text ?? state}</span>;
}

export function Band({ elapsed, p50, p90 }: { elapsed: number; p50: number; p90: number }) {
  const shape = bandShape(elapsed, p50, p90);
  if (!shape) return <span class="band" title="no prediction" />;
  const said = `${duration(elapsed)} so far, predicted ${predicted(p50)}, nine in ten within ${predicted(p90)}${shape.late ? ", late" : ""}`;
  return (
    <span class="band" role="img" aria-label={said} title={said}>
      <u style={{ left: `${shape.from}%`, width: `${shape.width}%` }} />
      <i class={shape.late ? "late" : ""} style={{ width: `${shape.elapsed}%` }} />
    </span>
  );
}

export function Bar({ share, kind = "", thin, mark = 0 }: { share: number; kind?: string; thin?: boolean; mark?: number }) {
  return <span class={`bar ${thin ? "thin" : ""} ${mark > 0 ? "marked" : ""}`} aria-hidden="true"><i class={kind} style={{ width: `${Math.min(100, Math.max(0, 100 * share))}%` }} />{mark > 0 && <u style={{ left: `${100 * mark}%` }} />}</span>;
}
export function ShareLine({ text, value, share, kind }: { text: ComponentChildren; value: string; share: number; kind?: string }) {
  return <div class="share"><span class="clip">{text}</span><b>{value}</b><Bar share={share} kind={kind} thin /></div>;
}

// "42 ms" as a large number with its small unit.
export function Large({ text }: { text: string }) {
  const at = text.indexOf(NARROW);
  if (at < 0 || text.indexOf(NARROW, at + 1) >= 0) return <>{text}</>;
  return <>{text.slice(0, at)}<i>{text.slice(at)}</i></>;
}
export function Stat({ label, value, sub, to, kind = "" }: { label: string; value: ComponentChildren; sub: ComponentChildren; to: string; kind?: string }) {
  return <a class="stat" href={to}><span>{label}</span><b class={kind}>{value}</b><small>{sub}</small></a>;
}

export function Kv({ rows }: { rows: ([string, ComponentChildren] | null | false)[] }) {
  return <dl class="kv">{rows.map((row) => row && <><dt>{row[0]}</dt><dd>{row[1]}</dd></>)}</dl>;
}
export function Labels({ labels, sign = "=" }: { labels: Record<string, string> | undefined; sign?: string }) {
  const all = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (all.length === 0) return <>none</>;
  return <span class="row" style={{ gap: ".25rem" }}>{all.map(([key, value]) => <span class="chip"><Name>{key + sign + value}</Name></span>)}</span>;
}

export function TaskLink({ id, text }: { id: string; text?: string }) {
  return <a class="mono" href={link("tasks", id)} title={id}>{text ?? shortId(id)}</a>;
}
export function shortId(id: string): string {
  return id.slice(0, 13);
}
export function WorkerLink({ name }: { name: string }) {
  return name ? <a href={link("workers", name)}><Name>{name}</Name></a> : <>–</>;
}
export function TypeLink({ name }: { name: string }) {
  return <a href={link("types", name)}><Name>{name}</Name></a>;
}

export function Copy({ text, label = "Copy", children }: Children & { text: string; label?: string }) {
  const copy = (event: JSX.TargetedMouseEvent<HTMLButtonElement>) => {
    const button = event.currentTarget;
    void navigator.clipboard?.writeText(text).then(() => {
      button.dataset.done = "1";
      button.title = "Copied";
    });
  };
  return <button type="button" class="btn tiny quiet" aria-label={label} title={label} onClick={copy}>{children}</button>;
}

export function Terminal({ lines }: { lines: string[] }) {
  return <Panel title="The same in a terminal" class="c12"><pre>{lines.map(visible).join("\n")}</pre></Panel>;
}
