// metrics: what /metrics says held against what clients and providers counted, against the access log, and against itself: from every
// worker, over reloads and deaths, with names that come and go.

import assert from 'node:assert/strict';
import { spawnSync, execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../lib/client.mjs';
import { reply, streamHead } from '../lib/peer.mjs';
import { workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const SPEECH = '/v1/audio/speech';
const KEYS = { AARON: 'aaron-has-a-long-key', ALICE: 'alice-has-a-long-key', BOB: 'bob-has-a-long-key-too' };
const ODD = 'mo"del \\ with gr\u00fc\u00df'; // a name that has to be escaped

// ---- reading

// The samples of a text: Map of `name{label="value",...}`, labels in the order in which they stand, to its value as text.
function samples(text) {
	const all = new Map();
	for (const line of text.split('\n').filter((l) => l && !l.startsWith('#'))) {
		const [, series, value] = line.match(/^(.*) (\S+)$/);
		assert.ok(!all.has(series), `${series} stands twice`);
		all.set(series, value);
	}
	return all;
}
const unescape = (value) => value.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
// Those of one metric: [{ labels..., value }].
function of(text, name) {
	return [...samples(text)].filter(([series]) => series.replace(/\{.*/, '') === `api_router_${name}`).map(([series, value]) => ({
		...Object.fromEntries([...series.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, v]) => [label, unescape(v)])),
		value: Number(value),
	}));
}
// The sum of a metric over the series that have these labels.
const sum = (text, name, labels = {}) =>
	of(text, name).filter((x) => Object.entries(labels).every(([l, v]) => x[l] === v)).reduce((n, x) => n + x.value, 0);
// The same as a table: values of labels joined to the sum. Nothing of /metrics itself.
function table(text, name, labels) {
	const all = {};
	for (const x of of(text, name).filter((one) => one.path !== '/metrics'))
		add(all, labels.map((l) => x[l]), x.value);
	return sorted(all);
}
const add = (all, labels, n = 1) => {
	if (n)
		all[labels.join(' ')] = (all[labels.join(' ')] ?? 0) + n;
};
const sorted = (all) => Object.fromEntries(Object.entries(all).sort());
// What does not change while nothing is asked but /metrics.
const still = (text) => text.split('\n')
	.filter((l) => l && !/path="\/metrics"|^api_router_(closes|connections|workers?_|workers|generation|reloads|rate_limit_buckets|log_lines)/.test(l)).join('\n');

function accepted(text) {
	const python = ['python3', '/usr/bin/python3'].find((p) => spawnSync(p, ['-c', 'import prometheus_client']).status === 0);
	assert.ok(python, 'no python3 has prometheus_client: make deps check installs it');
	const run = spawnSync(python, ['-c', `
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
n = [s for f in parse(sys.stdin.buffer.read().decode('utf-8')) for s in f.samples]
print(len(n), len(set((s.name, tuple(sorted(s.labels.items()))) for s in n)))`], { input: text, encoding: 'utf8' });
	assert.equal(run.status, 0, run.stderr);
	const [all, different] = run.stdout.trim().split(' ').map(Number);
	assert.equal(all, samples(text).size);
	assert.equal(different, all, 'no series stands twice');
}

// ---- the load

// A provider that does what the model is called, and counts what it says of tokens in `told`, by its own name of the model.
function provider(told, go) {
	let n = 0;
	return async (request, conn) => {
		if (request.target.endsWith('/audio/speech'))
			return reply({ headers: { 'Content-Type': 'audio/mpeg' }, body: 'sound' });
		const { model } = request.json;
		const i = n++ % 7;
		const usage = { prompt_tokens: 40 + i, completion_tokens: 20 + i, total_tokens: 60 + 2 * i,
			prompt_tokens_details: { cached_tokens: 10 + i, cache_write_tokens: 3 }, completion_tokens_details: { reasoning_tokens: 5 + i } };
		const count = () => {
			for (const [kind, value] of Object.entries({ input: 27, output: 15, cache_read: 10 + i, cache_write: 3, reasoning: 5 + i }))
				add(told, [model, kind], value);
		};
		const event = (x) => chunk(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [], ...x })}\n\n`);
		if (model === 'e500')
			return reply({ status: 500, reason: 'Error', body: { error: { message: 'no', type: 'server_error' } } });
		if (model === 'e404')
			return reply({ status: 404, reason: 'Not Found', body: { error: { message: 'no', type: 'invalid_request_error' } } });
		if (model === 'gone')
			return void (await conn.closed(60000));
		if (!['stream', 'slow', 'mute', 'cut'].includes(model)) {
			count();
			return reply({ body: { object: 'chat.completion', usage,
				choices: [{ index: 0, message: { role: 'assistant', content: 'a' }, finish_reason: 'stop' }] } });
		}
		await conn.send(streamHead());
		await conn.send(event({ choices: [{ index: 0, delta: { content: 'a' } }] }));
		if (model === 'cut')
			return conn.cut();
		if (model === 'slow')
			await go;
		if (model !== 'mute') {
			count();
			await conn.send(event({ usage }));
		}
		await conn.send(Buffer.concat([event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }), chunk('data: [DONE]\n\n'), LAST_CHUNK]));
	};
}
const MODELS = ['plain', 'stream', 'slow', 'mute', 'cut', 'gone', 'e500', 'e404', ODD];

class Counted {
	constructor(daemon) {
		this.daemon = daemon;
		this.requests = {}; // path provider status client
		this.connections = 0;
		this.heartbeats = 0;
		this.total = 0;
		this.scrapes = 0;
	}
	async connect() {
		this.connections++;
		return connect(this.daemon);
	}
	// A request, which must get this status from this provider, on a connection of its own or on `conn`.
	async ask({ path = CHAT, label = path, provider: from = 'other', status = 200, key = KEYS.ALICE, client = 'alice', cut = false, conn, ...rest }) {
		const own = conn ?? await this.connect();
		await own.request({ path, headers: { ...(key && { Authorization: `Bearer ${key}` }), ...rest.headers }, ...rest, ...(rest.json && { json: rest.json }) });
		const got = await own.readReply({ method: rest.method });
		assert.ok(got, `${path}: ${own.ending}`);
		assert.equal(got.status, status, `${path} ${JSON.stringify(rest.json)}: ${got.text}`);
		assert.equal(got.cut, cut, `${path} ${JSON.stringify(rest.json)}: ${got.text}`);
		this.heartbeats += got.text.split(': keep-alive\n').length - 1;
		this.count(label, from, status, client);
		if (!conn || got.header('connection') === 'close')
			own.destroy();
		return got;
	}
	count(label, from, status, client) {
		add(this.requests, [label, from, status, client]);
		this.total++;
	}
	async scrape(id = undefined) {
		const conn = await this.connect();
		await conn.request({ path: '/metrics', headers: id ? { 'X-Request-Id': id } : {} });
		const got = await conn.readReply();
		conn.destroy();
		assert.equal(got.status, 200);
		this.scrapes++;
		return got.text;
	}
	// When all that was asked has been written and counted.
	async settled() {
		const { daemon } = this;
		await until(() => daemon.access.filter((l) => l.path !== '/metrics').length === this.total, `${this.total} lines are in the access log`, 20000);
		assert.equal(daemon.access.filter((l) => l.path !== '/metrics').length, this.total);
		return until(async () => {
			const text = await this.scrape();
			return sum(text, 'connections', { side: 'client' }) === 1 && text;
		}, 'only the scraper is connected', 20000);
	}
}

const chat = (model, more = {}) => ({ json: { model, messages: [{ role: 'user', content: 'one two three' }], ...more } });
const stream = { stream: true, stream_options: { include_usage: true } };

function configuration(peer, dead) {
	return {
		workers: 4,
		stream: { heartbeat: 0.05 },
		clients: { alice: { key: 'env:ALICE' }, bob: { key: 'env:BOB', rate_limit: { requests_per_minute: 1, burst: 3 } } },
		providers: {
			p: { dialect: 'openai', base_url: `${peer.url}/v1`, models: MODELS, model_map: [{ from: 'alias', to: 'mapped' }] },
			dead: { dialect: 'openai', base_url: `${dead.url}/v1`, models: ['dead'] },
			echo: { dialect: 'echo', models: ['echo'] },
		},
		routes: [
			{ model: 'glob-*', provider: 'p' },
			{ model: 'alias', provider: 'p' },
			{ model: 'spelled', targets: [{ provider: 'p', model: 'target' }] },
			{ path: SPEECH, provider: 'p' },
		],
	};
}
// One of a client's loops: a little of everything, on connections of its own and on one that is kept.
async function everything(c, i) {
	let conn = await c.connect();
	const alone = [
		{ ...chat('plain'), provider: 'p' }, { ...chat('stream', stream), provider: 'p' }, { ...chat('mute', { stream: true }), provider: 'p' },
		{ ...chat(ODD), provider: 'p' }, { ...chat(`glob-${Math.random()}`), provider: 'p' }, { ...chat('alias'), provider: 'p' },
		{ ...chat('spelled'), provider: 'p' }, { ...chat(`p/${Math.random()}`), provider: 'p' }, { ...chat('echo'), provider: 'echo' },
		{ path: SPEECH, json: { model: 'voice', input: 'a' }, provider: 'p' },
		{ ...chat('e500'), provider: 'p', status: 500 }, { ...chat('e404'), provider: 'p', status: 404 }, { ...chat('dead'), provider: 'dead', status: 502 },
		{ ...chat('nobody'), status: 404 }, { ...chat('plain'), key: '', client: 'other', status: 401 },
		{ ...chat('plain'), key: `k${Math.random()}`, client: 'other', status: 401 },
		{ path: `/x${Math.random()}`, label: 'other', method: 'GET', status: 404 },
		{ path: '/v1/models', method: 'GET' }, { path: '/v1/models/plain', label: '/v1/models/ID', method: 'GET' },
		{ path: '/health', method: 'HEAD' }, { path: CHAT, method: 'DELETE', status: 405 },
		{ body: '{"model": "plain", "mess', status: 400 }, { ...chat('echo'), body: undefined, chunked: 7, provider: 'echo' },
	];
	for (let k = 0; k < alone.length; k++) {
		const what = alone[(k * 5 + i) % alone.length];
		await c.ask(what);
		if ((await c.ask({ ...what, conn })).header('connection') === 'close') // the body was not wanted
			conn = await c.connect();
	}
	await c.ask({ ...chat('cut', { stream: true }), provider: 'p', cut: true });
	const gone = await c.connect();
	await gone.request({ path: CHAT, headers: { Authorization: `Bearer ${KEYS.ALICE}` }, ...chat('gone') });
	c.going.push(gone);
	c.count(CHAT, 'p', 'other', 'alice');
	conn.destroy();
}

// A daemon with four workers to which a load of all kinds has happened, and what was counted of it: { c, d, text, told, peer, config }.
async function loaded(s, rounds = 8) {
	const [peer, dead] = [await s.peer(), await s.peer()];
	dead.close();
	const told = {};
	let go;
	peer.serve(provider(told, new Promise((resolve) => (go = resolve))));
	const config = configuration(peer, dead);
	const d = await s.daemon(config, { env: KEYS });
	const c = new Counted(d);
	c.going = [];
	const slow = [0, 1, 2, 3].map(() => c.ask({ ...chat('slow', stream), provider: 'p' }));
	const running = Promise.all(Array.from({ length: rounds }, (_, i) => everything(c, i)));
	await running;
	for (let i = 0; i < 6; i++) // a client with a limit of its own, which all workers share
		await c.ask({ ...chat('echo'), key: KEYS.BOB, client: 'bob', ...(i < 3 ? { provider: 'echo' } : { status: 429 }) });
	await until(() => peer.requests.filter((r) => r.target.endsWith('completions') && r.json.model === 'gone').length === rounds, 'all of them have been asked');
	c.going.forEach((conn) => conn.destroy());
	await new Promise((resolve) => setTimeout(resolve, 200)); // a few heartbeats
	go();
	await Promise.all(slow);
	const text = await c.settled();
	return { c, d, text, told, peer, config, rounds };
}

// ---- the scenarios

const label = (path) => (/^\/x0|^\/y/.test(path) ? 'other' : path.replace(/^\/v1\/models\/.*/, '/v1/models/ID'));

scenario('everything is counted once, by whichever worker', async (s) => {
	const { c, d, text, told, peer, rounds } = await loaded(s);
	assert.deepEqual(table(text, 'requests_total', ['path', 'provider', 'status', 'client']), sorted(c.requests));

	// The access log says the same.
	const lines = d.access.filter((l) => l.path !== '/metrics');
	const logged = (key, which = () => true) => {
		const all = {};
		lines.filter(which).forEach((l) => add(all, key(l)));
		return sorted(all);
	};
	assert.ok(new Set(lines.map((l) => l.worker)).size > 1, 'one worker alone had it all');
	assert.deepEqual(logged((l) => [label(l.path), l.provider || 'other', l.status ?? 'other', l.client || 'other']), sorted(c.requests));

	// Histograms.
	assert.deepEqual(table(text, 'request_seconds_count', ['path', 'provider']), logged((l) => [label(l.path), l.provider || 'other']));
	assert.deepEqual(table(text, 'overhead_seconds_count', ['path']), logged((l) => [label(l.path)]));
	assert.deepEqual(table(text, 'first_byte_seconds_count', ['path', 'provider']),
		logged((l) => [label(l.path), l.provider], (l) => typeof l.first_byte_ms === 'number'));
	for (const { path, value } of of(text, 'overhead_seconds_sum'))
		assert.ok(value <= sum(text, 'request_seconds_sum', { path }), `${path}: ${value} s of overhead`);
	const seconds = lines.reduce((n, l) => n + l.latency_ms, 0) / 1000;
	const counted = sum(text, 'request_seconds_sum') - sum(text, 'request_seconds_sum', { path: '/metrics' });
	assert.ok(Math.abs(seconds - counted) < 0.002 * lines.length, `${counted} s were counted, ${seconds} s logged`);
	// Four requests waited 200 ms for the provider: that is no overhead.
	assert.ok(sum(text, 'overhead_seconds_sum', { path: CHAT }) < sum(text, 'request_seconds_sum', { path: CHAT }) / 2);

	// Tokens, by the names that the configuration has.
	const expected = {};
	for (const [key, n] of Object.entries(told)) {
		const [, model, kind] = key.match(/^(.*) (\w+)$/);
		const name = ['mapped', 'target', ...MODELS].includes(model) ? model : model.startsWith('glob-') ? 'glob-*' : 'other';
		add(expected, [`p|${name}|alice`, kind], n);
	}
	for (const kind of ['input', 'output']) {
		add(expected, ['echo|echo|alice', kind], 3 * 4 * rounds);
		add(expected, ['echo|echo|bob', kind], 3 * 3);
	}
	const tokens = {};
	for (const x of of(text, 'tokens_total'))
		add(tokens, [`${x.provider}|${x.model}|${x.client}`, x.kind], x.value);
	assert.deepEqual(sorted(tokens), sorted(expected));
	assert.ok(text.includes('model="mo\\"del \\\\ with gr\u00fc\u00df"'));
	assert.deepEqual(table(text, 'usage_missing_total', ['provider']), { p: 2 * rounds });

	// Attempts.
	assert.equal(sum(text, 'upstream_connects_total', { provider: 'p' }), peer.connections.length);
	assert.equal(sum(text, 'upstream_connects_total', { provider: 'p' }) + sum(text, 'upstream_reuses_total', { provider: 'p' }), peer.requests.length);
	assert.equal(peer.requests.length, lines.filter((l) => l.provider === 'p').reduce((n, l) => n + l.attempts, 0));
	assert.deepEqual(table(text, 'upstream_errors_total', ['provider', 'kind']),
		{ 'dead connect': 2 * rounds, 'p cut': rounds, 'p status': 2 * rounds });
	for (const p of ['p', 'dead'])
		assert.equal(sum(text, 'upstream_alerts_total', { provider: p }), d.log.split(`provider ${p} has failed 5 times within 5 minutes`).length - 1, p);

	// Connections: of clients, all but the one that asks; and to providers, those that could not be made too.
	assert.equal(sum(text, 'closes_total', { side: 'client' }), c.connections - 1);
	assert.equal(sum(text, 'closes_total', { side: 'upstream' }) + sum(text, 'connections', { side: 'upstream' }), peer.connections.length + 2 * rounds);
	assert.equal(sum(text, 'closes_total', { side: 'upstream', reason: 'abandoned' }), rounds);
	assert.equal(sum(text, 'connections', { side: 'upstream', state: 'active' }), 0);
	assert.equal(sum(text, 'connections', { side: 'client', state: 'active' }), 1);

	assert.deepEqual(table(text, 'rate_limited_total', ['path', 'client']), { [`${CHAT} bob`]: 3 });
	assert.ok(c.heartbeats > 0);
	assert.equal(sum(text, 'heartbeats_total'), c.heartbeats);
	assert.equal(sum(text, 'log_lines_lost_total'), 0);
	accepted(text);
}, { ms: 120000 });

// A process of each worker has answered with the same.
async function sameEverywhere(c, before) {
	const { daemon } = c;
	const pids = workers(daemon);
	const told = new Set();
	await until(async () => {
		const id = `scrape-${c.scrapes}`;
		assert.equal(still(await c.scrape(id)), before);
		told.add((await daemon.waitAccess(id)).worker);
		return pids.every((pid) => told.has(pid));
	}, 'each worker was asked', 60000);
}

scenario('from every worker the same, over reloads and deaths; names that go leave what was counted and go on when they return', async (s) => {
	const { c, d, text, config } = await loaded(s, 3);
	const before = still(text);
	await sameEverywhere(c, before);

	d.signal('SIGHUP');
	await d.waitLog(/ready: 4 workers, generation 2\n/);
	await until(() => workers(d).length === 4, 'the old workers have gone', 20000);
	await sameEverywhere(c, before);
	let now = await c.scrape();
	assert.deepEqual(table(now, 'worker_exits_total', ['reason']), { ok: 4 });

	const old = workers(d);
	for (const pid of old)
		process.kill(pid, 'SIGKILL');
	await until(() => workers(d).length === 4 && !workers(d).some((pid) => old.includes(pid)), 'all were replaced', 20000);
	await until(async () => sum(now = await c.scrape(), 'workers', { state: 'ready' }) === 4, 'they are ready');
	assert.equal(still(now), before);
	assert.deepEqual(table(now, 'worker_exits_total', ['reason']), { ok: 4, signal: 4 });
	assert.equal(sum(now, 'connections'), 1, 'the dead have no connections');

	// Without a provider, a client and a model; with others before them, so that nothing keeps its place.
	const { bob, ...clients } = config.clients;
	const { p, echo } = config.providers;
	d.writeConfig({ ...config, clients: { aaron: { key: 'env:AARON' }, ...clients },
		providers: { aaa: { ...echo, models: ['new'] }, echo, p: { ...p, models: ['another', ...p.models.filter((m) => m !== ODD)] } } });
	d.signal('SIGHUP');
	await d.waitLog(/ready: 4 workers, generation 3\n/);
	await until(() => workers(d).length === 4, 'the old workers have gone', 20000);
	assert.equal(still(await c.scrape()), before);
	const fresh = c.requests;
	await c.ask({ ...chat('new'), provider: 'aaa' });
	await c.ask({ ...chat('new'), provider: 'aaa', key: KEYS.AARON, client: 'aaron' });
	await c.ask({ ...chat('another'), provider: 'p' });
	await c.ask({ ...chat('echo'), key: KEYS.BOB, client: 'other', status: 401 });
	await c.ask({ ...chat('dead'), status: 404 });
	now = await c.settled();
	assert.deepEqual(table(now, 'requests_total', ['path', 'provider', 'status', 'client']), sorted(fresh));
	assert.equal(sum(now, 'tokens_total', { provider: 'aaa', model: 'new', kind: 'input' }), 6);
	assert.equal(sum(now, 'tokens_total', { model: ODD }), sum(text, 'tokens_total', { model: ODD }));
	assert.equal(sum(now, 'upstream_errors_total', { provider: 'dead' }), sum(text, 'upstream_errors_total', { provider: 'dead' }));

	d.writeConfig(config);
	d.signal('SIGHUP');
	await d.waitLog(/ready: 4 workers, generation 4\n/);
	await until(() => workers(d).length === 4, 'the old workers have gone', 20000);
	await c.ask({ ...chat(ODD), provider: 'p' });
	await c.ask({ ...chat('dead'), provider: 'dead', status: 502 });
	await c.ask({ ...chat('echo'), key: KEYS.BOB, client: 'bob', status: 429 });
	now = await c.settled();
	assert.deepEqual(table(now, 'requests_total', ['path', 'provider', 'status', 'client']), sorted(fresh));
	assert.equal(sum(now, 'tokens_total', { model: ODD, kind: 'input' }), sum(text, 'tokens_total', { model: ODD, kind: 'input' }) + 27);
	assert.equal(sum(now, 'upstream_errors_total', { provider: 'dead' }), sum(text, 'upstream_errors_total', { provider: 'dead' }) + 1);
	assert.equal(sum(now, 'tokens_total', { provider: 'aaa', model: 'new', kind: 'input' }), 6, 'what is gone stays');
	assert.deepEqual(table(now, 'reloads_total', ['result']), { ok: 3 });
	accepted(now);
}, { ms: 120000 });

scenario('whatever clients send, there are no more series', async (s) => {
	const peer = await s.peer();
	peer.serve(provider({}));
	const d = await s.daemon({ workers: 2, clients: { alice: { key: 'env:ALICE' } },
		providers: { p: { dialect: 'openai', base_url: `${peer.url}/v1`, models: ['plain'] } },
		routes: [{ model: 'glob-*', provider: 'p' }] }, { env: KEYS });
	const word = () => Math.random().toString(36).slice(2);
	const random = (i) => [
		{ ...chat(word()), status: 404 }, { ...chat(`glob-${word()}`) }, { ...chat(`p/${word()}`) }, { ...chat(`${word()}/plain`), status: 404 },
		{ path: `/y${word()}`, method: 'GET', status: 404 }, { path: `/v1/models/${word()}`, method: 'GET', status: 404 },
		{ path: `/y${word()}?${word()}=${word()}`, method: word().toUpperCase().replace(/\d/g, 'X'), status: 404 },
		{ path: CHAT, method: `X${word().toUpperCase().replace(/\d/g, 'X')}`, status: 405 },
		{ ...chat('plain'), key: word(), status: 401 },
		{ ...chat('plain'), headers: { [`X-${word()}`]: word(), 'X-Request-Id': word(), 'User-Agent': `"${word()}\\` } },
	][i % 10];
	async function some(n) {
		const conns = await Promise.all(Array.from({ length: 8 }, () => s.connect(d)));
		let i = 0;
		await Promise.all(conns.map(async (first) => {
			let conn = first;
			while (i < n) {
				const { status = 200, key = KEYS.ALICE, headers, ...what } = random(i++);
				conn.received.length = 0;
				const got = await conn.exchange({ path: CHAT, ...what, headers: { Authorization: `Bearer ${key}`, ...headers } });
				assert.equal(got.status, status, JSON.stringify(what));
				if (got.header('connection') === 'close') { // the body was not wanted
					conn.destroy();
					conn = await connect(d);
				}
			}
			conn.destroy();
		}));
		return (await s.request(d, { path: '/metrics' })).text;
	}
	await some(40); // each kind on each side
	const names = (text) => [...samples(text).keys()].filter((name) => !/closes_total/.test(name)).sort();
	const few = names(await some(40));
	const many = await some(4000);
	assert.deepEqual(names(many), few);
	assert.equal(sum(many, 'requests_total') - sum(many, 'requests_total', { path: '/metrics' }), 4080);
	assert.equal(sum(many, 'requests_total', { path: 'other', status: '404' }), 4080 / 5);
	assert.equal(sum(many, 'requests_total', { path: '/v1/models/ID' }), 408);
	assert.deepEqual(Object.keys(table(many, 'tokens_total', ['model'])), ['glob-*', 'other', 'plain']);
	assert.deepEqual(new Set(of(many, 'requests_total').map((x) => x.client)), new Set(['alice', 'other']));
	accepted(many);
}, { ms: 120000 });

scenario('five failures within five minutes, spread over the workers: one alert; a success: one recovery', async (s) => {
	const peer = await s.peer();
	let status = 500;
	peer.serve(() => reply({ status, reason: 'R', body: { object: 'chat.completion' } }));
	const d = await s.daemon({ workers: 4, providers: { p: { dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'] } } });
	const told = (text) => d.log.split(text).length - 1;
	const alerts = () => told('alert worker');
	const fail = (n) => Promise.all(Array.from({ length: n }, () => s.request(d, { path: CHAT, json: { model: 'm' } })));
	const scrape = async () => (await s.request(d, { path: '/metrics' })).text;

	await fail(4);
	status = 200; // without trouble a success is nothing
	await fail(1);
	assert.equal(sum(await scrape(), 'upstream_errors_total', { provider: 'p', kind: 'status' }), 4);
	assert.equal(sum(await scrape(), 'upstream_alerts_total'), 0);
	assert.equal(alerts(), 0, d.log);

	status = 500;
	await fail(1);
	await until(() => told('provider p has failed 5 times within 5 minutes, at last: an answer of 500 or above') === 1, 'it is told');
	await fail(20);
	assert.equal(sum(await scrape(), 'upstream_alerts_total', { provider: 'p' }), 1);
	assert.equal(alerts(), 1, d.log);

	status = 200;
	await fail(12);
	await until(() => told('provider p answers again') === 1, 'recovery is told');
	assert.equal(alerts(), 2, d.log);

	status = 500;
	await fail(4);
	assert.equal(sum(await scrape(), 'upstream_alerts_total', { provider: 'p' }), 1);
	await fail(8); // at once
	assert.equal(sum(await scrape(), 'upstream_alerts_total', { provider: 'p' }), 2);
	assert.equal(told('has failed 5 times'), 2);
	// What was told is known to the workers that come after.
	d.signal('SIGHUP');
	await d.waitLog(/ready: 4 workers, generation 2\n/);
	await until(() => workers(d).length === 4, 'the old workers have gone', 20000);
	await fail(8);
	status = 200;
	await fail(2);
	await until(() => told('provider p answers again') === 2, 'recovery is told by the new ones');
	assert.equal(sum(await scrape(), 'upstream_alerts_total', { provider: 'p' }), 2);
	assert.equal(alerts(), 4, d.log);
});

scenario('workers, exits, reloads and generations', async (s) => {
	const started = Date.now() / 1000;
	const peer = await s.peer();
	const config = { workers: 2, providers: { p: { dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'] } } };
	const d = await s.daemon(config);
	const scrape = async () => (await s.request(d, { path: '/metrics' })).text;
	const is = (name, labels, value) => until(async () => sum(await scrape(), name, labels) === value, `${name}${JSON.stringify(labels)} is ${value}`, 20000);

	let text = await scrape();
	assert.deepEqual(of(text, 'generation'), [{ value: 1 }]);
	assert.deepEqual(table(text, 'reloads_total', ['result']), {});
	assert.deepEqual(of(text, 'workers'), [{ state: 'starting', value: 0 }, { state: 'ready', value: 2 }, { state: 'draining', value: 0 }]);
	const [{ version, value }] = of(text, 'build_info');
	assert.equal(value, 1);
	assert.ok((await d.run('-V')).output.includes(version));
	const [{ value: start }] = of(text, 'start_time_seconds');
	assert.ok(start >= Math.floor(started) && start <= Date.now() / 1000, `${start}`);

	const conn = await s.connect(d);
	await conn.request({ path: CHAT, json: { model: 'm' } });
	const upstream = await peer.request();
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 2\n/);
	await is('generation', {}, 2);
	await is('reloads_total', { result: 'ok' }, 1);
	await is('worker_exits_total', { reason: 'ok' }, 1);
	await is('workers', { state: 'draining' }, 1);
	text = await scrape();
	assert.equal(sum(text, 'workers', { state: 'ready' }), 2);
	assert.equal(sum(text, 'connections', { side: 'upstream', state: 'active' }), 1, 'of the old generation');
	await upstream.conn.send(reply({ body: { object: 'chat.completion' } }));
	assert.equal((await conn.readReply()).status, 200);
	conn.destroy();
	await is('workers', { state: 'draining' }, 0);
	await is('worker_exits_total', { reason: 'ok' }, 2);

	d.writeConfig({ ...config, workers: 999 });
	d.signal('SIGHUP');
	await is('reloads_total', { result: 'failed' }, 1);
	await is('generation', {}, 2);
	process.kill(workers(d)[0], 'SIGKILL');
	await is('worker_exits_total', { reason: 'signal' }, 1);
	d.writeConfig(config);
	for (let n = 3; n <= 5; n++) {
		d.signal('SIGHUP');
		await is('generation', {}, n);
	}
	await is('reloads_total', { result: 'ok' }, 4);
	await is('worker_exits_total', { reason: 'ok' }, 8);
	text = await scrape();
	assert.deepEqual(table(text, 'worker_exits_total', ['reason']), { ok: 8, signal: 1 });
	assert.equal(of(text, 'start_time_seconds')[0].value, start);

	// One that hangs is ended by the watchdog.
	process.kill(workers(d)[0], 'SIGSTOP');
	await is('worker_exits_total', { reason: 'watchdog' }, 1);
}, { ms: 180000 });

// A pipe that nobody reads, full.
function fullPipe(s, dir) {
	const path = join(dir, 'fifo');
	execFileSync('mkfifo', [path]);
	execFileSync('chmod', ['666', path]);
	const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
	s.keep({ stop: () => closeSync(fd) });
	const fill = () => {
		for (const size of [4096, 1])
			for (;;) {
				try {
					writeSync(fd, '\n'.repeat(size));
				} catch {
					break;
				}
			}
	};
	const empty = () => {
		for (;;) {
			try {
				readSync(fd, Buffer.alloc(1 << 16), 0, 1 << 16, null);
			} catch {
				break;
			}
		}
	};
	return { path, fill, empty };
}

scenario('lines of the access log that are lost are counted, also of workers that have gone', async (s) => {
	const d = s.command({});
	const pipe = fullPipe(s, d.dir);
	d.writeConfig({ workers: 2, providers: { echo: { dialect: 'echo', models: ['echo'] } }, access_log: { file: pipe.path, format: 'json' } });
	await d.start();
	pipe.fill();
	const N = 60;
	for (let i = 0; i < N; i++)
		assert.equal((await s.request(d, { path: CHAT, ...chat('echo') })).status, 200);
	const lost = async () => sum((await s.request(d, { path: '/metrics' })).text, 'log_lines_lost_total');
	// What is still kept for a while is lost when the workers end; lines of /metrics itself are among it.
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 2\n/);
	await until(async () => (await lost()) >= N, `${N} lines are counted as lost`, 20000);
	const before = await lost();
	for (const pid of workers(d))
		process.kill(pid, 'SIGKILL');
	await until(async () => (await lost().catch(() => -1)) >= before, 'they still are', 20000);
});

// Each reload writes at least two lines to the master's log. A generation that serves for less than a second counts too, and what was
// counted of one is not taken off when the next one's log stands where the last one's stood.
scenario('lines that the master loses over quick reloads are counted', async (s) => {
	const d = await s.daemon({ providers: { echo: { dialect: 'echo', models: ['echo'] } } });
	const pipe = fullPipe(s, d.dir);
	d.writeConfig({ providers: { echo: { dialect: 'echo', models: ['echo'] } }, log: { file: pipe.path } });
	const scrape = async () => (await s.request(d, { path: '/metrics' })).text;
	d.signal('SIGHUP');
	await until(async () => sum(await scrape(), 'generation') === 2, 'the pipe is the log');
	pipe.fill();
	let last = 0;
	const RELOADS = 12;
	for (let n = 3; n < 3 + RELOADS; n++) {
		d.signal('SIGHUP');
		let text;
		await until(async () => sum(text = await scrape(), 'generation') === n, 'it is reloaded', 20000);
		const now = sum(text, 'log_lines_lost_total');
		assert.ok(now >= last, `${now} after ${last}`);
		last = now;
	}
	await until(async () => sum(await scrape(), 'log_lines_lost_total') >= 2 * RELOADS, 'all of them are counted', 5000);
	pipe.empty();
});
