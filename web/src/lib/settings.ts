// The live configuration as lines of TOML: sections of plain keys, as the server prints it. Pure.

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

export function withValue(toml: string, setting: Setting, value: string): string {
  const lines = toml.split("\n");
  lines[setting.line] = `${setting.key} = ${value}`;
  return lines.join("\n");
}

export function changesOf(before: string, after: string): { key: string; before: string; after: string }[] {
  const name = (each: Setting) => (each.section ? `${each.section}.${each.key}` : each.key);
  const old = new Map(settingsOf(before).map((each) => [name(each), each.value]));
  const now = new Map(settingsOf(after).map((each) => [name(each), each.value]));
  const keys = new Set([...old.keys(), ...now.keys()]);
  return [...keys].filter((key) => old.get(key) !== now.get(key))
    .map((key) => ({ key, before: old.get(key) ?? "", after: now.get(key) ?? "" }));
}
