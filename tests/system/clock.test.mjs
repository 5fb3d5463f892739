// clock: the system's clock jumps by hours, years and back, under load. Only the times in the logs follow.

import assert from 'node:assert/strict';
import { makeFaults, noFaults } from '../lib/faults.mjs';
import { Load } from '../lib/load.mjs';
import { makeMeter } from '../lib/metrics.mjs';
import { reply } from '../lib/peer.mjs';
import { workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';

const CHAT = '/v1/chat/completions';
const chat = { path: CHAT, json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };
const echo = { dialect: 'echo', models: ['echo'], echo: { interval: 0.01 } };
const HOUR = 3600;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (text) => Date.parse(text) / 1000;

scenario('jumps under load: no timeout fires, no connection ends, no worker dies, and latencies are what they are', async (s) => {
	const faults = makeFaults(s);
	const d = await s.daemon({
		workers: 2, providers: { echo },
		timeouts: { head: 5, body: 5, keep_alive: 20, send: 5 }, log: { level: 'debug' },
	}, faults.options);
	const pids = workers(d);
	const meter = await makeMeter(s, d);
	const idle = await s.connect(d), half = await s.connect(d);
	await idle.exchange({ path: '/health' });
	await half.send('GET /health HT');
	const load = s.keep(new Load(d, { clients: 4 }));
	const start = performance.now();
	for (const ahead of [5 * HOUR, -5 * HOUR, 0, 365 * 24 * HOUR, -Math.floor(Date.now() / 1000), 1, 0]) {
		faults.set('clock_ahead_s', ahead);
		await load.more(20);
	}
	await half.send('TP/1.1\r\nHost: x\r\n\r\n');
	assert.equal((await half.readReply()).status, 200);
	assert.equal((await idle.exchange({ path: '/health' })).status, 200);
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	const elapsed = performance.now() - start;
	await d.logged(load.done + 4); // /health three times, and the meter's first look
	for (const line of d.access) {
		assert.ok(line.latency_ms >= 0 && line.latency_ms <= elapsed + 1000, JSON.stringify(line));
		assert.equal(line.end, 'complete');
	}
	const closes = await meter.moved('closes_total');
	assert.deepEqual(Object.keys(closes).filter((why) => /timeout|idle|evicted/.test(why)), []);
	assert.deepEqual(workers(d), pids);
	assert.deepEqual(await meter.now('worker_exits_total'), {});
	// The sums of the histograms are times too.
	for (const [labels, sum] of Object.entries(await meter.now('request_seconds_sum')))
		assert.ok(sum <= load.done * (elapsed + 1000) / 1000, `${labels}: ${sum}`);
}, { skip: noFaults });

scenario('the times of both logs, Date and created follow the clock', async (s) => {
	const faults = makeFaults(s);
	const d = await s.daemon({ providers: { echo }, log: { level: 'debug' } }, faults.options);
	for (const ahead of [0, 5 * HOUR, -5 * HOUR, 365 * 24 * HOUR]) {
		faults.set('clock_ahead_s', ahead);
		const before = d.log.length, sent = Date.now() / 1000;
		// The clock is read once a turn, when something has come.
		const got = await s.request(d, { ...chat, headers: { 'x-request-id': `ahead-${ahead}`, Connection: 'close' } });
		const line = await d.waitAccess(`ahead-${ahead}`);
		const [, said] = await d.waitLog(/^(\S+) debug worker 0\[\d+\]: the connection of/m, { after: before });
		const late = Date.now() / 1000;
		for (const at of [seconds(line.time), seconds(said), seconds(got.header('date')), got.json.created])
			assert.ok(at >= Math.floor(sent) + ahead - 1 && at <= late + ahead + 1, `${at}, ${ahead} s ahead of ${sent}`);
	}
}, { skip: noFaults });

scenario('no window of a limit moves with the clock, and Retry-After says how long it is', async (s) => {
	const faults = makeFaults(s);
	const d = await s.daemon({ providers: { echo }, rate_limit: { requests_per_minute: 1, burst: 3 } }, faults.options);
	const begin = performance.now();
	for (let i = 0; i < 3; i++)
		assert.equal((await s.request(d, chat)).status, 200);
	const taken = performance.now();
	for (const ahead of [0, 5 * HOUR, -5 * HOUR, -Math.floor(Date.now() / 1000), 10 * 365 * 24 * HOUR]) {
		faults.set('clock_ahead_s', ahead);
		for (let i = 0; i < 2; i++) {
			const sent = performance.now();
			const got = await s.request(d, chat);
			const most = Math.ceil(60 - (sent - taken) / 1000), least = Math.floor(60 - (performance.now() - begin) / 1000);
			const told = Number(got.header('retry-after'));
			assert.equal(got.status, 429, `${ahead}`);
			assert.ok(told >= least && told <= most, `${told}, not ${least} to ${most}`);
		}
	}
}, { skip: noFaults });

scenario('when to come again to a provider whose quotas end at a time of day goes by its own clock', async (s) => {
	const faults = makeFaults(s);
	const provider = await s.peer();
	const d = await s.daemon({ providers: { a: { dialect: 'anthropic', base_url: provider.url, models: ['claude'] } } }, faults.options);
	const now = Math.floor(Date.now() / 1000) * 1000;
	provider.serve(() => reply({
		status: 429, reason: 'Too Many Requests',
		headers: {
			Date: new Date(now).toUTCString(),
			'anthropic-ratelimit-requests-remaining': '0',
			'anthropic-ratelimit-requests-reset': new Date(now + 90000).toISOString(),
		},
		body: { type: 'error', error: { type: 'rate_limit_error', message: 'later' } },
	}));
	for (const ahead of [0, 5 * HOUR, -5 * HOUR]) {
		faults.set('clock_ahead_s', ahead);
		const got = await s.request(d, { path: CHAT, json: { model: 'claude', messages: [{ role: 'user', content: 'hi' }] } });
		assert.deepEqual([got.status, got.header('retry-after')], [429, '90'], `${ahead}`);
	}
}, { skip: noFaults });

scenario('a worker that is stopped for a while goes on where it was: nothing that came meanwhile is late', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({
		providers: { p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'], timeouts: { first_byte: 1, idle: 1 } } },
		timeouts: { head: 1, body: 1 },
	});
	const [pid] = workers(d);
	const client = await s.connect(d), half = await s.connect(d);
	await client.request({ path: CHAT, json: { model: 'm' } });
	const { conn } = await provider.request();
	await half.send('GET /health HT');
	await until(async () => (await s.request(d, { path: '/health' })).status === 200, 'it has read what came');
	process.kill(pid, 'SIGSTOP');
	await conn.send(reply({ body: { object: 'chat.completion' } }));
	await half.send('TP/1.1\r\nHost: x\r\n\r\n');
	await wait(1500);
	process.kill(pid, 'SIGCONT');
	assert.equal((await client.readReply()).status, 200);
	assert.equal((await half.readReply()).status, 200);
	assert.deepEqual(workers(d), [pid]);
});
