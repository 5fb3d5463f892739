// balance: how connections spread over the workers, and what becomes of a worker that no longer moves.

import assert from 'node:assert/strict';
import { limit, scenario, until } from '../lib/scenario.mjs';
import { makeMeter } from '../lib/metrics.mjs';
import { alive, clientPorts, workers } from '../lib/processes.mjs';

const config = (workers, more = {}) =>
	({ workers, providers: { echo: { dialect: 'echo', models: ['echo'], echo: { interval: 0.5 } } }, ...more });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };

// Long streams, `together` begun at a time.
async function streams(s, d, n, together) {
	const all = [];
	while (all.length < n) {
		all.push(...await Promise.all(Array.from({ length: Math.min(together, n - all.length) }, async () => {
			const conn = await s.connect(d);
			await conn.request({ ...chat,
				json: { model: 'echo', stream: true, messages: [{ role: 'user', content: 'word '.repeat(1000) }] } });
			const reply = await conn.readHead({ ms: 20000 });
			assert.equal(reply.status, 200);
			return { conn, reply };
		})));
	}
	return all;
}

for (const together of [400, 20, 1]) {
	scenario(`400 streams, ${together} begun at a time: no worker of four has more than 120 or fewer than 80`, async (s) => {
		const d = await s.daemon(config(4));
		const before = workers(d);
		await streams(s, d, 400, together);
		const counts = before.map((pid) => clientPorts(pid, d.port).size);
		assert.equal(counts.reduce((a, b) => a + b), 400);
		assert.ok(Math.max(...counts) <= 120 && Math.min(...counts) >= 80, `${counts}`);
		// The access log tells the same.
		d.signal('SIGTERM');
		assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
		assert.deepEqual(before.map((pid) => d.access.filter((l) => l.worker === pid).length), counts);
	});
}

scenario('a stopped worker keeps nobody from being served, and the watchdog ends it; a stopped master ends nobody', async (s) => {
	const d = await s.daemon(config(3));
	const other = await s.daemon(config(2));
	const others = workers(other);
	const watched = d.log.length;
	await wait(limit(1100));
	await streams(s, d, 30, 30);
	const before = workers(d);
	const victim = before.find((pid) => clientPorts(pid, d.port).size > 0);
	process.kill(victim, 'SIGSTOP');
	const stopped = Date.now(), its = clientPorts(victim, d.port).size;
	other.signal('SIGSTOP');

	// One after the other, and then many that stay.
	for (let i = 0; i < 50; i++)
		assert.equal((await s.request(d, { ...chat, ms: 1000 })).status, 200);
	const start = Date.now();
	await streams(s, d, 150, 150);
	assert.ok(Date.now() - start < limit(4000), `150 streams took ${Date.now() - start} ms to begin`);

	await d.waitLog(new RegExp(`error master\\[\\d+\\]: worker \\d \\(pid ${victim}\\) has not moved for 10 s: aborted\n`), { ms: 15000, after: watched });
	const aborted = Date.now() - stopped;
	assert.ok(aborted > 8500 && aborted < limit(13000), `aborted after ${aborted} ms`);
	await d.waitLog(new RegExp(`worker \\d \\(pid ${victim}, generation 1\\) was killed by signal 9 \\(Killed\\)`), { ms: 5000 });
	await until(() => workers(d).length === 3, 'another has come');
	assert.equal(before.filter((pid) => workers(d).includes(pid)).length, 2);
	const meter = await makeMeter(s, d);
	assert.deepEqual(await meter.now('worker_exits_total'), { watchdog: 1 });
	assert.equal((await meter.now('closes_total'))['client worker_lost'], its);

	assert.ok(Date.now() - stopped > 11000);
	other.signal('SIGCONT');
	await wait(2500);
	assert.deepEqual(workers(other), others);
	assert.ok(others.every(alive));
	assert.ok(!/has not moved/.test(other.log));
	assert.equal((await s.request(other, chat)).status, 200);
});

scenario('a worker that hangs is aborted, and its obituary says so', async (s) => {
	// Stopped until the master has sent ABRT, then let go: it dies of that.
	const d = await s.daemon(config(1));
	const [victim] = workers(d);
	process.kill(victim, 'SIGSTOP');
	await d.waitLog(/has not moved for 10 s: aborted/, { ms: 15000 });
	process.kill(victim, 'SIGCONT');
	await d.waitLog(new RegExp(`worker 0 \\(pid ${victim}, generation 1\\) was killed by signal 6 \\(Aborted\\)`));
	await until(() => workers(d).length === 1 && !alive(victim), 'another has come');
	assert.equal((await s.request(d, chat)).status, 200);
});
