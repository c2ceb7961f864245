// The map: one tile a worker, all of them in one canvas, drawn in one pass. A worker keeps its place.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useCell } from "../lib/cell.ts";
import { type Group, type Measure, shade, tileSize } from "../lib/fleet.ts";
import { plural, share } from "../lib/format.ts";
import { theme } from "../lib/prefs.ts";
import type { Seen } from "../lib/columns.ts";
import { condition } from "../lib/words.ts";
import { Name } from "./parts.tsx";
import { rem } from "./plot.tsx";

interface Props {
  groups: Group[];
  measure: Measure;
  matches: (worker: Seen) => boolean;
  chosen: string;
  onChoose: (name: string) => void;
  onOpen: (name: string) => void;
  onHover: (worker: Seen | null, x: number, y: number) => void;
  sayOf: (worker: Seen) => string;
}

interface Spot { group: Group; top: number; columns: number; left: number; rows: number }
interface Layout { spots: Spot[]; size: number; gap: number; height: number; narrow: boolean }

const PHONE = 720;

function layoutOf(groups: readonly Group[], width: number, room: number, narrow: boolean): Layout {
  const k = rem();
  const left = narrow ? 0 : 136 * k;
  const wide = Math.max(60, width - left - 2);
  const { size, gap } = narrow ? phoneTile(wide) : tileSize(groups.map((each) => each.workers.length), wide, room);
  const columns = Math.max(1, Math.floor((wide + gap) / (size + gap)));
  const head = narrow ? 22 * k : 0;
  let top = 2;
  const spots = groups.map((group) => {
    const rows = Math.ceil(group.workers.length / columns);
    const spot = { group, top: top + head, columns, left: left + 1, rows };
    top += head + Math.max(narrow ? 0 : 36 * k, rows * (size + gap)) + 7;
    return spot;
  });
  return { spots, size, gap, height: top, narrow };
}
function phoneTile(wide: number): { size: number; gap: number } {
  return { size: Math.max(8, Math.floor((wide + 3) / 26) - 3), gap: 3 };
}

export function FleetMap({ groups, measure, matches, chosen, onChoose, onOpen, onHover, sayOf }: Props) {
  const board = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [hover, setHover] = useState("");
  const [said, setSaid] = useState("");
  const look = useCell(theme);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setWidth(board.current?.clientWidth ?? 0));
    if (board.current) watch.observe(board.current);
    return () => watch.disconnect();
  }, []);
  const narrow = innerWidth <= PHONE;
  const sizes = groups.map((each) => each.workers.length).join();
  const layout = useMemo(() => layoutOf(groups, width, Math.max(330, innerHeight - 480 * rem()), narrow), [sizes, width, narrow]);
  const spots = layout.spots.map((spot, i) => ({ ...spot, group: groups[i] ?? spot.group }));
  const ink = useMemo(() => colours(), [look]);

  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      if (canvas.current && width > 0) draw(canvas.current, { ...layout, spots }, width, ink, measure, matches, chosen, hover);
    });
    return () => cancelAnimationFrame(frame);
  });

  const hit = (event: PointerEvent | MouseEvent): Seen | null => {
    const box = canvas.current?.getBoundingClientRect();
    if (!box) return null;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const step = layout.size + layout.gap;
    for (const spot of spots) {
      const column = Math.floor((x - spot.left) / step);
      const row = Math.floor((y - spot.top) / step);
      if (row >= 0 && row < spot.rows && column >= 0 && column < spot.columns) return spot.group.workers[row * spot.columns + column] ?? null;
    }
    return null;
  };
  const all = groups.flatMap((each) => each.workers);
  const onKeyDown = (event: KeyboardEvent) => {
    const index = all.findIndex((each) => each.name === chosen);
    if (event.key === "Enter" && index >= 0) return onOpen(chosen);
    const columns = spots.find((each) => each.group.workers.some((worker) => worker.name === chosen))?.columns ?? 1;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, j: 1, k: -1 }[event.key];
    if (step === undefined || all.length === 0) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, index + step))];
    onChoose(next.name);
    setSaid(sayOf(next));
  };
  const move = (event: PointerEvent) => {
    const worker = hit(event);
    setHover(worker?.name ?? "");
    onHover(worker, event.clientX, event.clientY);
  };
  const k = rem();
  return (
    <>
      <div ref={board} class="board" tabIndex={0} role="group" aria-label={`Map of ${plural(all.length, "worker")}. Arrow keys move, Enter opens. The table has the same data.`} onKeyDown={onKeyDown}>
        <canvas ref={canvas} aria-hidden="true" style={{ height: `${layout.height}px`, cursor: hover ? "pointer" : "" }} onPointerMove={move}
                onPointerLeave={() => (setHover(""), onHover(null, 0, 0))} onClick={(e) => { const worker = hit(e); if (worker) onChoose(worker.name); }}
                onDblClick={(e) => { const worker = hit(e); if (worker) onOpen(worker.name); }} />
        <div class="labels">
          {spots.map((spot) => (
            <div key={spot.group.name} style={{ top: `${spot.top - (layout.narrow ? 22 * k : 2)}px` }}>
              <b class="clip">{spot.group.parts.length === 0 ? "All workers" : spot.group.parts.map(([key, value], i) => <>{i > 0 && <span class="faint"> · {key} </span>}<Name>{value}</Name></>)}</b>
              <small class="faint clip">{spot.group.workers.length} · {share(busyOf(spot.group))} busy</small>
            </div>
          ))}
        </div>
      </div>
      <p class="sr" aria-live="polite">{said}</p>
    </>
  );
}

function busyOf(group: Group): number {
  let [slots, running] = [0, 0];
  for (const worker of group.workers) {
    if (condition(worker) === "gone") continue;
    slots += worker.slots;
    running += worker.running;
  }
  return slots ? running / slots : 0;
}

type Ink = Record<"card" | "ink" | "bad" | "warn" | "edge", string> & { scale: string[] };
function colours(): Ink {
  const style = getComputedStyle(document.documentElement);
  const of = (token: string) => style.getPropertyValue(`--${token}`).trim();
  return { scale: Array.from({ length: 9 }, (_, i) => of(`s${i}`)), card: of("card"), ink: of("ink"), bad: of("bad-fill"), warn: of("warn"), edge: of("edge") };
}

function draw(canvas: HTMLCanvasElement, layout: Layout, width: number, ink: Ink, measure: Measure, matches: (worker: Seen) => boolean, chosen: string, hover: string): void {
  const dpr = devicePixelRatio;
  const [w, h] = [Math.round(width * dpr), Math.round(layout.height * dpr)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const c = canvas.getContext("2d");
  if (!c) return;
  c.setTransform(dpr, 0, 0, dpr, 0, 0);
  c.clearRect(0, 0, width, layout.height);
  const step = layout.size + layout.gap;
  const last: [Seen, number, number][] = [];
  const plain = ink.scale.map(() => new Path2D());  // of most tiles: one to fill for each step of lightness
  for (const spot of layout.spots)
    spot.group.workers.forEach((worker, i) => {
      const x = spot.left + (i % spot.columns) * step;
      const y = spot.top + Math.floor(i / spot.columns) * step;
      if (worker.name === chosen || worker.name === hover) last.push([worker, x, y]);
      else if (condition(worker) === "ready" && matches(worker)) box(plain[shade(measure, worker)], x, y, layout.size);
      else tile(c, ink, worker, measure, x, y, layout.size, matches(worker) ? 1 : 0.14);
    });
  plain.forEach((path, i) => {
    c.fillStyle = ink.scale[i];
    c.fill(path);
  });
  for (const [worker, x, y] of last) {
    tile(c, ink, worker, measure, x, y, layout.size, 1);
    for (const [colour, line] of [[ink.card, 5], [ink.ink, 2]] as const) {
      c.strokeStyle = colour;
      c.lineWidth = line;
      c.beginPath();
      box(c, x - 1.5, y - 1.5, layout.size + 3);
      c.stroke();
    }
  }
}

function box(c: CanvasPath, x: number, y: number, size: number): void {
  c.roundRect(x, y, size, size, Math.min(3, size / 5));
}

function tile(c: CanvasRenderingContext2D, ink: Ink, worker: Seen, measure: Measure, x: number, y: number, size: number, alpha: number): void {
  const state = condition(worker);
  c.globalAlpha = alpha;
  c.setLineDash([]);
  c.lineCap = "butt";
  if (state === "gone") {
    c.strokeStyle = ink.edge;
    c.lineWidth = 1.5;
    c.setLineDash([2, 2]);
    c.beginPath();
    box(c, x + 1, y + 1, size - 2);
    c.stroke();
  } else if (state === "breaker") {
    c.fillStyle = ink.bad;
    c.beginPath();
    box(c, x, y, size);
    c.fill();
    cross(c, worker.breaker === "open", x, y, size);
  } else if (state === "cordoned" || state === "suspect") {
    c.strokeStyle = c.fillStyle = ink.warn;
    c.lineWidth = 2;
    if (state === "suspect") c.setLineDash([2.5, 1.8]);
    c.beginPath();
    box(c, x + 1, y + 1, size - 2);
    c.stroke();
    if (state === "suspect") c.fillRect(x + size / 2 - 1.5, y + size / 2 - 1.5, 3, 3);
    else c.fillRect(x + size * 0.25, y + size / 2 - 1, size / 2, 2);
  } else {
    c.fillStyle = ink.scale[shade(measure, worker)];
    c.beginPath();
    box(c, x, y, size);
    c.fill();
    if (state === "draining")
      for (const [colour, from] of [[ink.card, 0.3], [ink.warn, 0.42]] as const) {
        c.fillStyle = colour;
        c.beginPath();
        c.moveTo(x + size, y + size);
        c.lineTo(x + size, y + size * from);
        c.lineTo(x + size * from, y + size);
        c.fill();
      }
  }
  c.setLineDash([]);
  c.globalAlpha = 1;
}

// Open: a cross; probing: one stroke.
function cross(c: CanvasRenderingContext2D, open: boolean, x: number, y: number, size: number): void {
  const m = size * 0.3;
  c.strokeStyle = "#fff";
  c.lineWidth = Math.max(1.5, size / 8);
  c.lineCap = "round";
  c.beginPath();
  c.moveTo(x + m, y + m);
  c.lineTo(x + size - m, y + size - m);
  if (open) {
    c.moveTo(x + size - m, y + m);
    c.lineTo(x + m, y + size - m);
  }
  c.stroke();
}
