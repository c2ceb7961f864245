// A chart over time. All of a page share the cursor; the legend is also the value under it; a table is behind a key.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { logTicks, ticksTo } from "../lib/band.ts";
import { useCell } from "../lib/cell.ts";
import { theme, zone } from "../lib/prefs.ts";
import { clock } from "../lib/time.ts";
import { Icon } from "./glyph.tsx";
import { Scroll } from "./parts.tsx";
import { rem } from "./plot.tsx";

export type Values = (number | null)[];
export interface Line {
  label: string;
  values: Values;
  color: string;  // token, e.g. "run-fill"
  key?: string;   // class of its sample in the legend; empty: not in the legend
  dash?: boolean;
  fill?: boolean;
  spans?: boolean;   // from point to point over what is not known
  width?: number;
  write: (value: number) => string;
}
export interface Between { high: number; low: number; color: string; alpha: number; hatch?: boolean }  // lines by number
export interface Stripe { from: number; to: number; color: string }
export interface ChartProps {
  title: string;
  sub?: string;
  class?: string;
  said: string;      // its sentence
  t: number[];       // microseconds
  lines: Line[];
  from: number;
  to: number;
  now: number;
  height?: number;
  y: { min: number; max: number; write: (value: number) => string; log?: boolean };
  between?: Between[];
  zone?: Stripe;
  note?: { t: number; value: number; text: string };
}

const css = (token: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${token}`).trim();
const SYNC = "page";

export function TimeChart(props: ChartProps) {
  const { title, sub, lines, t } = props;
  const where = useCell(zone);
  const look = useCell(theme);
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const latest = useRef(props);
  latest.current = props;
  const [under, setUnder] = useState<number | null>(null);
  const [asTable, setAsTable] = useState(false);

  useLayoutEffect(() => {
    const box = host.current;
    if (!box || asTable) return;
    const made = new uPlot(options(latest, box.clientWidth, where, setUnder), data(latest.current), box);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: Math.max(60, box.clientWidth), height: heightOf(latest.current) }));
    watch.observe(box);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [look, where, asTable, lines.length, props.between?.length]);

  useEffect(() => {
    plot.current?.setData(data(props), false);
    plot.current?.batch(() => {
      plot.current?.setScale("x", { min: props.from / 1e6, max: props.to / 1e6 });
      plot.current?.setScale("y", { min: props.y.min, max: props.y.max });
    });
  }, [t, props.from, props.to, props.y.max]);

  const place = under ?? lastKnown(props);
  return (
    <section class={`panel ${props.class ?? ""}`}>
      <header><h2>{title}</h2>{sub && <small>{sub}</small>}<span class="grow" />
        <button type="button" class="tool" aria-label={`Show “${title}” as a ${asTable ? "chart" : "table"}`} aria-pressed={asTable} onClick={() => setAsTable(!asTable)}><Icon name="table" /></button>
      </header>
      <div class="body">
        <div class="read">
          {lines.filter((each) => each.key !== "").map((each) => {
            const value = each.values[place];
            return <span class="key">{each.key && <i class={`line ${each.key}`} />}{each.label} <b>{value === null || value === undefined ? "–" : each.write(value)}</b></span>;
          })}
          {under !== null && t[under] !== undefined && <span class="key">at {clock(t[under], where)}</span>}
        </div>
        {asTable ? <ChartTable {...props} zone={where} /> : <div ref={host} class="chart" role="img" aria-label={props.said} style={{ minHeight: `${heightOf(props)}px` }} />}
      </div>
    </section>
  );
}

function heightOf(props: ChartProps): number {
  return Math.round((props.height ?? 150) * rem());
}
function lastKnown(props: ChartProps): number {
  for (let i = props.t.length - 1; i >= 0; --i) if (props.t[i] <= props.now && props.lines.some((each) => each.key !== "" && !each.dash && (each.values[i] ?? null) !== null)) return i;
  return 0;
}
function data(props: ChartProps): uPlot.AlignedData {
  return [props.t.map((each) => each / 1e6), ...props.lines.map((each) => each.values)];
}

function options(latest: { current: ChartProps }, width: number, where: string, setUnder: (i: number | null) => void): uPlot.Options {
  const props = latest.current;
  const k = rem();
  const font = `${11 * k}px ${css("sans")}`;
  const axis = { stroke: css("ink3"), font, ticks: { show: false }, gap: 6 };
  return {
    width: Math.max(60, width),
    height: heightOf(props),
    padding: [10 * k, 8 * k, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC, scales: ["x", null] }, drag: { x: false, y: false }, y: false, points: { show: false } },
    scales: {
      x: { time: true, auto: false, range: () => [latest.current.from / 1e6, latest.current.to / 1e6] },
      y: { auto: false, distr: props.y.log ? 3 : 1, range: () => [latest.current.y.min, latest.current.y.max] },
    },
    axes: [
      { ...axis, size: 22 * k, grid: { show: false }, space: 62 * k, incrs: [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600], values: (_, splits, _axis, _space, step) => splits.map((each) => clock(each * 1e6, where, step < 60)) },
      { ...axis, size: 44 * k, grid: { stroke: css("line"), width: 1 }, splits: () => (props.y.log ? logTicks(latest.current.y.min, latest.current.y.max) : ticksTo(latest.current.y.max, 3)), values: (_, splits) => splits.map((each) => (each === null ? "" : latest.current.y.write(each))) },
    ],
    series: [{}, ...props.lines.map((each): uPlot.Series => ({
      label: each.label, stroke: css(each.color), width: each.width ?? 1.75, dash: each.dash ? [5, 4] : undefined, points: { show: false },
      fill: each.fill ? `color-mix(in srgb, ${css(each.color)} 10%, transparent)` : undefined, spanGaps: each.dash === true || each.spans === true,
    }))],
    bands: (props.between ?? []).map((each) => ({ series: [each.high + 1, each.low + 1], fill: each.hatch ? hatching(css(each.color)) : `color-mix(in srgb, ${css(each.color)} ${100 * each.alpha}%, transparent)` })),
    hooks: {
      drawClear: [(u) => drawZone(u, latest.current)],
      draw: [(u) => drawNow(u, latest.current, where, font)],
      setCursor: [(u) => setUnder(u.cursor.idx === null || u.cursor.idx === undefined || (u.cursor.left ?? -1) < 0 ? null : u.cursor.idx)],
    },
  };
}

// What is predicted is hatched, here as everywhere.
function hatching(color: string): CanvasPattern | string {
  const tile = document.createElement("canvas");
  const size = Math.round(6 * devicePixelRatio);
  tile.width = tile.height = size;
  const ctx = tile.getContext("2d");
  if (!ctx) return color;
  ctx.strokeStyle = color;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = devicePixelRatio;
  for (const shift of [-size, 0, size]) {
    ctx.moveTo(shift, size);
    ctx.lineTo(shift + size, 0);
  }
  ctx.stroke();
  return ctx.createPattern(tile, "repeat") ?? color;
}

function drawZone(u: uPlot, props: ChartProps): void {
  if (!props.zone) return;
  const { ctx, bbox } = u;
  const top = u.valToPos(props.zone.to, "y", true);
  ctx.save();
  ctx.globalAlpha = 0.2;
  ctx.fillStyle = css(props.zone.color);
  ctx.fillRect(bbox.left, top, bbox.width, u.valToPos(props.zone.from, "y", true) - top);
  ctx.restore();
}

// The line of now where the chart reaches into the future, and the one remark on what is predicted.
function drawNow(u: uPlot, props: ChartProps, where: string, font: string): void {
  if (props.to <= props.now + 1e6) return;
  const { ctx, bbox } = u;
  const x = Math.round(u.valToPos(props.now / 1e6, "x", true)) + 0.5;
  ctx.save();
  ctx.setLineDash([]);
  ctx.textAlign = "left";
  ctx.strokeStyle = ctx.fillStyle = css("ink");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `600 ${scaled(font)}`;
  ctx.textBaseline = "top";
  ctx.fillText(`now ${clock(props.now, where, false)}`, x + 5 * devicePixelRatio, bbox.top - 4);
  if (props.note) {
    ctx.fillStyle = css("pred");
    const nx = u.valToPos(props.note.t / 1e6, "x", true);
    const ny = u.valToPos(props.note.value, "y", true);
    const text = props.note.text;
    const tw = ctx.measureText(text).width;
    ctx.textBaseline = "bottom";
    ctx.fillText(text, Math.min(nx, bbox.left + bbox.width - tw), ny - 8 * devicePixelRatio);
    ctx.beginPath();
    ctx.arc(nx, ny, 3.5 * devicePixelRatio, 0, 7);
    ctx.fill();
  }
  ctx.restore();
}
const scaled = (font: string) => font.replace(/^[\d.]+/, (size) => String(Number(size) * devicePixelRatio));

function ChartTable(props: Omit<ChartProps, "zone"> & { zone: string }) {
  const step = Math.max(1, Math.floor(props.t.length / 13));
  const rows = props.t.map((_, i) => i).filter((i) => i % step === 0).reverse();
  return (
    <Scroll label={props.title}>
      <table>
        <thead><tr><th>Time</th>{props.lines.map((each) => <th class="num">{each.label}</th>)}</tr></thead>
        <tbody>{rows.map((i) => (
          <tr><td>{clock(props.t[i], props.zone)}</td>{props.lines.map((each) => <td class="num">{each.values[i] === null || each.values[i] === undefined ? "–" : each.write(each.values[i] as number)}</td>)}</tr>
        ))}</tbody>
      </table>
    </Scroll>
  );
}
