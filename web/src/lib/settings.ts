// The live configuration as lines of TOML: sections of plain keys, as the server prints it. Pure.

import type { SettingHelp } from "./wire.ts";

export interface Setting { section: string; key: string; value: string; line: number }

const SECTION = /^\s*\[([^\]]+)\]\s*$/;
const PAIR = /^\s*([A-Za-z0-9_.-]+)\s*=\s*(.+?)\s*$/;

export function settingsOf(toml: string): Setting[] {
  const found: Setting[] = [];
  let section = "";
  toml.split("\n").forEach((text, line) => {
    const head = SECTION.exec(text);
    const pair = PAIR.exec(text);
    if (head) section = head[1];
    else if (pair && !text.trimStart().startsWith("#")) found.push({ section, key: pair[1], value: pair[2], line });
  });
  return found;
}

export function nameOf(each: Setting): string {
  return each.section ? `${each.section}.${each.key}` : each.key;
}

export function withValue(toml: string, setting: Setting, value: string): string {
  const lines = toml.split("\n");
  lines[setting.line] = `${setting.key} = ${value}`;
  return lines.join("\n");
}

export function changesOf(before: string, after: string): { key: string; before: string; after: string }[] {
  const old = new Map(settingsOf(before).map((each) => [nameOf(each), each.value]));
  const now = new Map(settingsOf(after).map((each) => [nameOf(each), each.value]));
  const keys = new Set([...old.keys(), ...now.keys()]);
  return [...keys].filter((key) => old.get(key) !== now.get(key))
    .map((key) => ({ key, before: old.get(key) ?? "", after: now.get(key) ?? "" }));
}

// What is known of a setting beside its value: its range in words, and whether a text may be its value.
const ORIGINS: Record<string, string> = { default: "the default", file: "from a file", environment: "from the environment", flag: "from a flag", change: "changed here" };
export function originWord(origin: string): string {
  return ORIGINS[origin] ?? origin;
}
export function rangeWords(help: SettingHelp): string {
  const { min, max } = help;
  if (min !== "" && max !== "") return `${min} to ${max}`;
  return min !== "" ? `at least ${min}` : max !== "" ? `at most ${max}` : "";
}
// "" is good; else what is wrong. Only plain numbers and booleans are judged here, the server judges everything.
export function judge(help: SettingHelp | undefined, text: string): string {
  if (!help) return "";
  if (help.type === "true or false") return text === "true" || text === "false" ? "" : "It is true or false.";
  if (help.type !== "number") return "";
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) return "It is a number.";
  if (help.min !== "" && value < Number(help.min)) return `It is at least ${help.min}.`;
  if (help.max !== "" && value > Number(help.max)) return `It is at most ${help.max}.`;
  return "";
}
