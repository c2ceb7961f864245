// Glyphs: each state has a shape of its own, so that colour is never alone. Icons of the navigation. The mark.

type Stroke = "fill" | "line" | "bold" | "dotted";
const C = "M7 1.8a5.2 5.2 0 1 0 .01 0z";
const GLYPHS: Record<string, [Stroke, string][]> = {
  running: [["fill", "M4 2.2v9.6L12 7z"]],
  waiting: [["line", C]],
  assigned: [["fill", "M7 1.2a5.8 5.8 0 0 0 0 11.6z"], ["line", "M7 1.8a5.2 5.2 0 1 1 0 10.4"]],
  paused: [["fill", "M3 2h3v10H3zM8 2h3v10H8z"]],
  succeeded: [["bold", "M2 7.6 5.4 11 12 3.4"]],
  dead: [["bold", "M2.8 2.8l8.4 8.4M11.2 2.8 2.8 11.2"]],
  cancelled: [["line", C + "M3.4 10.6l7.2-7.2"]],
  expired: [["line", C + "M7 4v3.2l2.2 1.4"]],
  breaker: [["fill", "M8.2.8 2.6 8h3.6l-1 5.2L11.4 6H7.6z"]],
  draining: [["fill", "M1.6 3.4h10.8L7 11.6z"]],
  cordoned: [["line", C], ["fill", "M3.6 5.9h6.8v2.2H3.6z"]],
  suspect: [["dotted", C], ["fill", "M6.2 6.2h1.6v1.6H6.2z"]],
  gone: [["dotted", C]],
  ready: [["fill", "M7 2.6a4.4 4.4 0 1 0 .01 0z"]],
  drift: [["bold", "M1.4 10.6h3.4l3-7.2h4.8"]],
  warn: [["line", "M7 1.8 12.8 12H1.2zM7 5.6v3M7 10.3v.2"]],
  info: [["line", C + "M7 6.4v3.8M7 4v.2"]],
  limit: [["bold", "M1.8 3.4h10.4M1.8 7h6M1.8 10.6h10.4"]],
  none: [["line", "M1.8 7h2M5.8 7h2.4M10.2 7h2"]],
};

export function Glyph({ name, kind = "" }: { name: string; kind?: string }) {
  return (
    <svg class={`glyph ${kind}`} viewBox="0 0 14 14" aria-hidden="true">
      {(GLYPHS[name] ?? GLYPHS.none).map(([how, d]) =>
        how === "fill" ? <path d={d} fill="currentColor" /> : (
          <path d={d} fill="none" stroke="currentColor" stroke-width={how === "bold" ? 2 : 1.6} stroke-linecap="round"
                stroke-linejoin="round" stroke-dasharray={how === "dotted" ? "2 2.1" : undefined} />
        ))}
    </svg>
  );
}

const ICONS: Record<string, string> = {
  overview: "M2 9.5 5 6l3 2.5L14 3M2 13.5h12",
  fleet: "M2.5 2.5h4.2v4.2H2.5zM9.3 2.5h4.2v4.2H9.3zM2.5 9.3h4.2v4.2H2.5zM9.3 9.3h4.2v4.2H9.3z",
  tasks: "M2 4h2M2 8h2M2 12h2M6.5 4H14M6.5 8H14M6.5 12H11",
  types: "M1.5 13.5c3 0 3.2-10 5.2-10s2.4 7.4 4 8.6c.9.7 2 1.4 3.8 1.4",
  queues: "M2 3.5h12M2 8h8M2 12.5h4M13 9.5v4M11 11.5h4",
  decisions: "M8 2v4M8 6 3.5 10v3.5M8 6l4.5 4v3.5",
  config: "M8 5.4a2.6 2.6 0 1 0 .01 0zM8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M12.6 3.4l-1.4 1.4M4.8 11.2l-1.4 1.4",
  status: "M1.5 8.5h3L6.5 3l3.5 10 1.8-4.5h2.7",
  search: "M7 2.5a4.5 4.5 0 1 0 .01 0zM10.4 10.4 14 14",
  theme: "M8 2.2a5.8 5.8 0 1 0 .01 0zM8 2.2v11.6",
  table: "M2 3h12v10H2zM2 6.5h12M2 9.8h12M6.5 3v10",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  copy: "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[name]} fill="none" stroke="currentColor" stroke-width={name === "more" ? 2.6 : 1.5} stroke-linecap="round"
            stroke-linejoin="round" />
    </svg>
  );
}

export function Mark() {
  return (
    <svg viewBox="0 0 22 22" aria-hidden="true">
      <path d="M3 19V3h3.2v16z" fill="currentColor" />
      <path class="f-pred" d="M15.8 3H19v16h-3.2z" />
      <path d="M4.4 3.4 17.6 18.6" stroke="currentColor" stroke-width="3.2" />
      <path class="f-pred" d="M15.8 16.5V19H19v-.4z" />
    </svg>
  );
}
