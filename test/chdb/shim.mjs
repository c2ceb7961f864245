// shim.mjs: a current ClickHouse engine (chdb) as an HTTP server on loopback, as far as the history asks. Prints its port.
// One query at a time. INSERT … FORMAT RowBinary with rows in the body goes through a file, as chdb reads no body.
import { createServer } from "node:http";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Session } from "chdb";

const folder = mkdtempSync(join(tmpdir(), "nexus-chdb-"));
const session = new Session(join(folder, "data"));
const text = (value) => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
const ask = async (query, format = "TabSeparated") => Buffer.from((await session.queryAsync(query, { format })).bytes());

async function insert(query, database, rows) {
  const found = /^INSERT INTO (\w+) \(([^)]*)\) FORMAT (\w+)$/.exec(query);
  if (!found) throw new Error(`Code: 62. DB::Exception: the shim does not know this INSERT: ${query}`);
  const [, table, columns, format] = found;
  const types = new Map((await ask(`SELECT name, type FROM system.columns WHERE database = ${text(database)} AND table = ${text(table)}`,
    "TSVRaw")).toString().split("\n").map((line) => line.split("\t")));
  if (types.size < 2) throw new Error(`Code: 60. DB::Exception: Table ${database}.${table} does not exist`);
  const structure = columns.split(",").map((name) => `${name.trim()} ${types.get(name.trim())}`).join(", ");
  const file = join(folder, "rows");
  writeFileSync(file, rows);
  try {
    return await ask(`INSERT INTO ${table} (${columns}) SELECT * FROM file(${text(file)}, ${format}, ${text(structure)})`);
  } finally {
    unlinkSync(file);
  }
}

async function answer(request, body) {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/ping") return Buffer.from("Ok.\n");
  const database = url.searchParams.get("database");
  if (database) await ask(`USE ${database}`);
  const query = url.searchParams.get("query");
  return query ? insert(query, database, body) : ask(body.toString());
}

let last = Promise.resolve();
const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  last = last.then(() => answer(request, Buffer.concat(parts))).then(
    (bytes) => response.writeHead(200).end(bytes),
    (error) => {
      const said = String(error.message);
      const code = /Code: (\d+)/.exec(said)?.[1] ?? error.clickhouseCode ?? 0;
      response.writeHead(500).end(said.startsWith("Code: ") ? said : `Code: ${code}. DB::Exception: ${said}`);
    });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
const end = () => { session.close(); rmSync(folder, { recursive: true, force: true }); process.exit(0); };
process.on("SIGTERM", end);
process.on("SIGINT", end);
