// BullMQ as its manual shows it: addBulk in parts of 500; each worker a process of its own with `concurrency` slots and a
// handler that does nothing. Arguments: PORT TASKS WORKERS SLOTS.
const { Queue, Worker } = require('bullmq');
const { fork } = require('child_process');

const [port, tasks, workers, slots] = process.argv.slice(2, 6).map(Number);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };

if (process.argv[6] === 'worker') {
  process.once('message', () => {
    const before = process.cpuUsage();
    let told = 0, done = 0;
    const worker = new Worker('tasks', async () => {}, { connection, concurrency: slots });
    worker.on('completed', () => { done += 1; });
    setInterval(() => {
      if (done !== told) process.send({ done: (told = done), cpu: process.cpuUsage(before) });
    }, 5);
  });
  process.send({ ready: true });
} else {
  main().catch((error) => { console.error(error.message); process.exit(1); });
}

async function main() {
  const queue = new Queue('tasks', { connection, defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
  const body = 'x'.repeat(100);
  const filling = process.hrtime.bigint();
  for (let sent = 0; sent < tasks; sent += 500) {
    const part = Array.from({ length: Math.min(500, tasks - sent) }, () => ({ name: 'noop', data: body }));
    await queue.addBulk(part);
  }
  const fillS = Number(process.hrtime.bigint() - filling) / 1e9;
  const children = [];
  for (let n = 0; n < workers; n += 1) children.push(fork(__filename, [...process.argv.slice(2, 6), 'worker']));
  await Promise.all(children.map((child) => new Promise((ready) => child.once('message', ready))));
  console.log(JSON.stringify({ filled: true }));
  await new Promise((go) => process.stdin.once('data', go));
  const began = process.hrtime.bigint();
  const done = children.map(() => 0), cpu = children.map(() => 0);
  await new Promise((end) => {
    children.forEach((child, n) => {
      child.on('message', (message) => {
        done[n] = message.done;
        cpu[n] = message.cpu.user + message.cpu.system;
        if (done.reduce((a, b) => a + b) >= tasks) end();
      });
      child.send('go');
    });
  });
  const tookS = Number(process.hrtime.bigint() - began) / 1e9;
  console.log(JSON.stringify({
    completed_per_s: tasks / tookS,
    submit_per_s: tasks / fillS,
    worker_cpu_us_per_task: cpu.reduce((a, b) => a + b) / tasks,
  }));
  children.forEach((child) => child.kill('SIGKILL'));
  process.exit(0);
}
