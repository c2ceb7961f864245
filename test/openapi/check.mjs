// What the description of the HTTP API promises, tried on a real server:
//   node check.mjs validate BASE   a validator of OpenAPI 3.1 takes the document
//   node check.mjs calls BASE      every operation answers as the document says: its status, and a body that fits its schema
//   node check.mjs client BASE     a stock client made from the document submits, watches and cancels
// `calls` wants a worker "w1" that does not take the type "openapi", a type "known" that has run, and the key "k1" of
// /scheduler/*.
import SwaggerParser from "@apidevtools/swagger-parser";
import Ajv from "ajv/dist/2020.js";
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [verb, base] = process.argv.slice(2);
const document = async () => (await fetch(`${base}/v1/openapi.json`)).json();

async function valid() {
  await SwaggerParser.validate(await document()); // throws, and says why
  console.log("valid");
}

// ---- calls

const json = { "Content-Type": "application/json" };

async function submit() {
  const made = await fetch(`${base}/v1/tasks`, { method: "POST", headers: json, body: JSON.stringify({ type: "openapi" }) });
  assert.equal(made.status, 202);
  return (await made.json()).id;
}

async function cancelled() {
  const id = await submit();
  await fetch(`${base}/v1/tasks/${id}/cancel`, { method: "POST" });
  return id;
}

async function override() {
  const body = JSON.stringify({ kind: "hold", task_id: await submit() });
  return (await (await fetch(`${base}/v1/overrides`, { method: "POST", headers: json, body })).json()).number;
}

async function token() {
  const body = JSON.stringify({ name: "ci", roles: ["ROLE_NAME_VIEWER"] });
  const made = await fetch(`${base}/v1/tokens`, { method: "POST", headers: json, body });
  assert.equal(made.status, 201);
  return (await made.json()).token.id;
}

// Two changes of the configuration; the version before the last.
async function changed() {
  let version = 0;
  for (const toml of ["[scheduler]\nattempts_max = 4\n", "[scheduler]\nattempts_max = 5\n"]) {
    const made = await fetch(`${base}/v1/config`, { method: "PUT", headers: json, body: JSON.stringify({ toml }) });
    version = (await made.json()).version;
  }
  return { version: version - 1 };
}

// What the document cannot know: things that must be there, and what is no value of ours. Everything else is made from the
// schemas.
const parameters = {
  id: submit, name: () => "w1", type: () => "known", taskType: () => "openapi", queue: () => "default", action: () => "uncordon", number: override,
};
const cases = {
  TaskService_Submit: { body: { type: "openapi", payload_text: "hello" } },
  TaskService_SubmitBatch: { body: { tasks: [{ type: "openapi" }] } },
  TaskService_Retry: { id: cancelled },
  TaskService_ReadOutput: { refused: 409 }, // it has not started
  TaskService_CancelMany: { body: { filter: { type: "openapi" }, dry_run: true } },
  TaskService_RetryMany: { body: { filter: { type: "openapi" }, dry_run: true } },
  AdminService_GetQueue: { first: submit },
  AdminService_OverrideEstimate: { body: { estimate_us: "1000000" } },
  AdminService_SetConfig: { body: { toml: "" } },
  AdminService_RollbackConfig: { body: changed },
  AdminService_SetPolicy: { body: { policy: "predictive" } },
  AdminService_SetOverride: { body: async () => ({ kind: "hold", task_id: await submit() }) },
  AdminService_CreateToken: { body: { name: "ci", roles: ["ROLE_NAME_SUBMITTER"] } },
  AdminService_RevokeToken: { id: token },
  http_sign_in: { body: { token: "x" } }, // it asks nobody
  http_asset: { refused: 404 }, // names of files are made from their bytes
  http_scheduler_config: { body: { fallbackThreshold: 4 } },
  http_scheduler_override: { body: { taskId: "of old", workerId: "w1", taskType: "openapi" } },
};

function strict(doc) {
  // The server gives what is described, and nothing else.
  const schemas = structuredClone(doc.components.schemas);
  for (const schema of Object.values(schemas)) if (schema.properties) schema.additionalProperties = false;
  const ajv = new Ajv({ strict: false, allErrors: true, formats: { int64: true, int32: true } });
  ajv.addSchema({ $id: "doc", components: { schemas } });
  return (schema) => ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"doc#/')));
}

async function call(doc, compile, path, method, operation) {
  const known = cases[operation.operationId] ?? {};
  if (known.first) await known.first();
  let target = path;
  for (const parameter of operation.parameters ?? []) {
    if (parameter.in !== "path") continue;
    const value = await (known[parameter.name] ?? parameters[parameter.name] ?? (() => "x"))();
    target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
  }
  const headers = path.startsWith("/scheduler/") ? { "X-Scheduler-Key": "k1" } : {};
  const init = { method: method.toUpperCase(), headers, signal: AbortSignal.timeout(20000) };
  if (operation.requestBody) {
    const body = typeof known.body === "function" ? await known.body() : known.body ?? {};
    const fits = compile(operation.requestBody.content["application/json"].schema);
    assert.ok(fits(body), `${operation.operationId}: our own body does not fit: ${JSON.stringify(fits.errors)}`);
    Object.assign(headers, json);
    init.body = JSON.stringify(body);
  }
  const answer = await fetch(base + target, init);
  const [status, good] = Object.entries(operation.responses)[0];
  const type = (answer.headers.get("content-type") ?? "").split(";")[0];
  const what = `${init.method} ${target}`;
  if (type === "text/event-stream") {
    assert.equal(answer.status, 200, what);
    const { value } = await answer.body.getReader().read();
    assert.ok(value.length > 0, what);
    return;
  }
  const text = await answer.text();
  if (answer.status !== Number(status)) {
    assert.ok(known.refused === answer.status || !(operation.operationId in cases), `${what}: ${answer.status} ${text}`);
    const problem = doc.components.responses.Problem.content[type];
    assert.ok(problem, `${what}: ${type}`);
    const fits = compile(problem.schema);
    assert.ok(fits(JSON.parse(text)), `${what}: ${JSON.stringify(fits.errors)} ${text}`);
    console.log("refused as described:", what, answer.status);
    assert.equal(known.refused, answer.status, `${what}: ${answer.status} ${text}`);
    return;
  }
  assert.equal(known.refused, undefined, `${what}: was to be refused`);
  if (!good.content) return assert.equal(text, "", what);
  assert.ok(good.content[type], `${what}: ${type}`);
  if (type !== "application/json") return;
  const fits = compile(good.content[type].schema);
  assert.ok(fits(JSON.parse(text)), `${what}: ${JSON.stringify(fits.errors)} ${text.slice(0, 600)}`);
}

async function calls() {
  const doc = await document();
  const compile = strict(doc);
  let count = 0;
  for (const [path, operations] of Object.entries(doc.paths))
    for (const [method, operation] of Object.entries(operations)) {
      await call(doc, compile, path, method, operation);
      ++count;
    }
  for (const id of Object.keys(cases))
    assert.ok(Object.values(doc.paths).some((all) => Object.values(all).some((one) => one.operationId === id)), `no operation ${id}`);
  console.log(`${count} operations answer as described`);
}

// ---- client

async function client() {
  const OpenAPIClientAxios = createRequire(import.meta.url)("openapi-client-axios").default;
  const api = new OpenAPIClientAxios({ definition: await document(), axiosConfigDefaults: { baseURL: base } });
  const nexus = await api.init();
  const made = await nexus.TaskService_Submit({}, { type: "openapi", payload_text: "hello" });
  assert.equal(made.status, 202);
  const { id } = made.data;
  const watch = await nexus.http_watch_task({ id }, null, { responseType: "stream" });
  let told = "";
  const ended = (async () => {
    for await (const part of watch.data) told += part;
  })();
  const task = await nexus.TaskService_Get({ id });
  assert.equal(task.data.state, "TASK_STATE_WAITING");
  const gone = await nexus.TaskService_Cancel({ id }, { reason: "a stock client says so" });
  assert.equal(gone.data.state, "TASK_STATE_CANCELLED");
  await ended;
  assert.match(told, /TASK_STATE_CANCELLED/);
  assert.match(told, /event: end/);
  const list = await nexus.TaskService_List({ state: ["cancelled"], type: "openapi", limit: 5 }, null, {
    paramsSerializer: { serialize: (all) => Object.entries(all).map(([name, value]) => `${name}=${value}`).join("&") },
  });
  assert.ok(list.data.tasks.some((one) => one.id === id));
  console.log("submitted, watched and cancelled");
}

await { validate: valid, calls, client }[verb]();
process.exit(0);
