// What the server checks about itself, as /readyz?verbose writes it: a line for each. Pure.

export interface Check { mark: "good" | "bad" | "warn"; name: string; text: string }

const MARKS: Record<string, Check["mark"]> = { "+": "good", "-": "bad", "!": "warn" };

// "[+] store: it takes what is written"; [-] fails, [!] is a warning.
export function checksOf(text: string): Check[] {
  return text.split("\n").flatMap((line) => {
    const found = /^\[([+!-])\]\s*([^:]+):\s*(.*)$/.exec(line);
    return found ? [{ mark: MARKS[found[1]], name: found[2], text: found[3] }] : [];
  });
}
export function isInsecure(checks: readonly Check[]): boolean {
  return checks.some((each) => each.mark === "warn" && each.name === "insecure");
}
