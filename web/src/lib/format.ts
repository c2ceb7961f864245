// One place that writes numbers: durations, counts, rates, shares, factors, bytes. What is not known is not 0.

export const NARROW = "\u202f";
export const DASH = "–";
const MINUS = "−";

// 64-bit numbers come as strings; a missing field is its zero.
export function num(value: string | number | undefined | null): number {
  return Number(value ?? 0);
}

const unit = (value: string, name: string) => value + NARROW + name;
const brief = (value: number) => value.toFixed(value < 9.95 ? 1 : 0);

// Of microseconds, at most two units: 2.1 µs, 42 ms, 4.1 s, 2 min 14 s, 14 min, 3 h 12 min, 2 d 4 h.
export function duration(us: number): string {
  if (!Number.isFinite(us)) return DASH;
  if (us < 0) return MINUS + duration(-us);
  if (us === 0) return unit("0", "s");
  if (us < 999.5) return unit(brief(us), "µs");
  if (us < 999_500) return unit(brief(us / 1e3), "ms");
  if (us < 59_500_000) return unit(brief(us / 1e6), "s");
  const seconds = Math.round(us / 1e6);
  if (seconds < 600) return pair(Math.floor(seconds / 60), "min", seconds % 60, "s");
  if (seconds < 3570) return unit(String(Math.round(seconds / 60)), "min");
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

function pair(large: number, largeName: string, small: number, smallName: string): string {
  const first = unit(large.toLocaleString("en"), largeName);
  return small === 0 ? first : `${first} ${unit(String(small), smallName)}`;
}

// What is predicted has two digits, and one unit beyond two minutes.
export function predicted(us: number): string {
  if (Math.abs(us) < 120e6) return duration(us);
  if (us < 0) return MINUS + predicted(-us);
  const minutes = us / 60e6;
  if (minutes < 99.5) return unit(String(Math.round(minutes)), "min");
  const hours = minutes / 60;
  if (hours < 47.5) return unit(String(Math.round(hours)), "h");
  return unit(Math.round(hours / 24).toLocaleString("en"), "d");
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en").replace("-", MINUS);
}

// For badges and axes: 940, 1.2k, 18k, 3.4M.
export function short(value: number): string {
  if (value < 0) return MINUS + short(-value);
  if (value < 999.5) return String(Math.round(value));
  for (const [size, name] of [[1e3, "k"], [1e6, "M"], [1e9, "G"]] as const)
    if (value < size * 999.5) return trimmed(value / size) + name;
  return trimmed(value / 1e12) + "T";
}
const trimmed = (value: number) => brief(value).replace(/\.0$/, "");

// Two digits of what is only predicted: 3,912 is about 3,900.
export function about(value: number): string {
  if (value < 10) return String(Math.round(value));
  const step = 10 ** (Math.floor(Math.log10(value)) - 1);
  return count(Math.round(value / step) * step);
}

export function rate(perSecond: number): string {
  const text = perSecond === 0 ? "0" : perSecond < 9.95 ? perSecond.toFixed(1) : count(perSecond);
  return text + "/s";
}

// A share of 1. Rounding never crosses the threshold: 89.96 % of 90 % is 89.9 %.
export function share(value: number, digits = 0, threshold?: number): string {
  if (!Number.isFinite(value)) return DASH;
  const step = 10 ** digits;
  let rounded = Math.round(100 * value * step) / step;
  if (threshold !== undefined) {
    const limit = 100 * threshold;
    if (100 * value < limit && rounded >= limit) rounded = Math.floor(100 * value * step) / step;
    if (100 * value > limit && rounded <= limit) rounded = Math.ceil(100 * value * step) / step;
  }
  return unit(rounded.toFixed(digits).replace("-", MINUS), "%");
}

export function factor(value: number): string {
  return "×" + value.toFixed(value < 9.995 ? 2 : 1);
}

export function bytes(value: number): string {
  if (value < 1024) return unit(String(Math.round(value)), "B");
  let rest = value / 1024;
  for (const name of ["KiB", "MiB", "GiB"]) {
    if (rest < 1023.5) return unit(brief(rest), name);
    rest /= 1024;
  }
  return unit(brief(rest), "TiB");
}

export function plural(value: number, one: string, many = one + "s"): string {
  return `${count(value)} ${Math.round(value) === 1 ? one : many}`;
}
