// overload: what becomes of clients when descriptors, memory, processes or places run out, and what is counted.

import assert from 'node:assert/strict';
import { errno, makeFaults, noFaults } from '../lib/faults.mjs';
import { makeMeter } from '../lib/metrics.mjs';
import { hasLocalhost, reply, streamHead } from '../lib/peer.mjs';
import { descriptorCount, noLimits, resolvers, seesDescriptors, setLimit, workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const OK = { object: 'chat.completion', choices: [] };
const chat = (model = 'm', more = {}) => ({ path: CHAT, json: { model, ...more } });
const openai = (peer, models = ['m']) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models });
const EVENT = chunk('data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n');
const DONE = Buffer.concat([chunk('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'), LAST_CHUNK]);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const OTHERS = 48 + 1; // what a worker keeps for other ends, with one listener

// A client whose request has reached the provider.
async function held(s, d, provider, options = chat()) {
	const client = await s.connect(d);
	await client.request(options);
	return { client, ...(await provider.request()) };
}
async function answered({ client, conn }) {
	await conn.send(reply({ body: OK }));
	assert.equal((await client.readReply()).status, 200);
}

scenario('a full table: who gives way and who is sent away is counted, each once', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { connections: 4 } });
	const meter = await makeMeter(s, d);
	await meter.mark(); // its own connection is the first place
	const busy = [await held(s, d, provider), await held(s, d, provider)];
	const half = await s.connect(d);
	await half.send('GET / HT');
	busy.push(await held(s, d, provider));
	await half.closed();
	await meter.settles('closes_total', { 'client evicted': 1 });
	busy.push(await held(s, d, provider)); // for the meter, which is idle
	for (let i = 0; i < 3; i++) {
		const refused = await s.connect(d);
		const got = await refused.exchange(chat());
		assert.equal(got.status, 503);
		assert.match(got.json.error.message, /limits\.connections/);
		assert.match(got.header('retry-after'), /^\d+$/);
		assert.equal(await refused.closed(), 'end');
		refused.destroy();
	}
	for (const one of busy)
		await answered(one);
	meter.forget();
	// The last one gave way to the meter.
	await meter.settles('closes_total', { 'client evicted': 3, 'client full': 3 });
	assert.equal(provider.connections.length, 4, 'nothing of those who were sent away reached the provider');
});

scenario('more than the reserve for refusals: closed without an answer, and counted', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { connections: 2 } });
	const busy = [await held(s, d, provider), await held(s, d, provider)];
	// Each holds on to its place: a refused connection lingers until its client closes, and is evicted for the next.
	const refused = await Promise.all(Array.from({ length: 40 }, () => s.connect(d)));
	await Promise.all(refused.map((c) => c.closed()));
	for (const one of busy)
		await answered(one);
	const meter = await makeMeter(s, d);
	const { 'client full': full = 0, 'client evicted': evicted = 0 } = await meter.now('closes_total');
	assert.equal(full + evicted, 40 + 1, 'all of them, and one of the two for the meter');
	assert.ok(full > 0);
});

scenario('a limit of descriptors that is lowered while it runs: no client is taken who could not be served', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { connections: 100 } });
	const [pid] = workers(d);
	const meter = await makeMeter(s, d);
	await meter.mark();
	assert.ok(!seesDescriptors || descriptorCount(pid) - 1 <= OTHERS - 16, 'all but the places of those who are sent away');
	const before = setLimit(pid, 'nofile', OTHERS + 2 * 5);
	const busy = [];
	for (let i = 0; i < 5; i++) // the fifth is in the meter's place
		busy.push(await held(s, d, provider));
	await d.waitLog(/warn worker 0\[\d+\]: limits\.connections is \d+, but 59 descriptors allow for 5 only\n/);
	const got = await s.request(d, chat());
	assert.equal(got.status, 503);
	assert.match(got.json.error.message, /limits\.connections/);
	assert.ok(!seesDescriptors || descriptorCount(pid) < OTHERS + 2 * 5);
	setLimit(pid, 'nofile', before);
	busy.push(await held(s, d, provider));
	await d.waitLog(/info worker 0\[\d+\]: descriptors allow for limits\.connections again\n/);
	for (const one of busy)
		await answered(one);
	meter.forget();
	await meter.settles('closes_total', { 'client evicted': 1, 'client full': 1 });
	assert.deepEqual(await meter.moved('upstream_errors_total'), {});
	assert.deepEqual(await meter.moved('accept_failures_total'), {});
	assert.deepEqual(workers(d), [pid]);
}, { skip: noLimits });

scenario('no descriptor at all: idle connections give way, the rest wait, and who is served goes on', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, log: { level: 'debug' } });
	const [pid] = workers(d);
	const meter = await makeMeter(s, d);
	const stream = await held(s, d, provider, chat('m', { stream: true }));
	await stream.conn.send(streamHead());
	await stream.conn.send(EVENT);
	const head = await stream.client.readHead();
	await head.event();
	await answered(await held(s, d, provider)); // leaves an idle client and an idle connection to the provider
	const before = setLimit(pid, 'nofile', 3);
	const waiting = await s.connect(d);
	await waiting.request({ path: '/health' });
	await d.waitLog(/warn worker 0\[\d+\]: cannot accept connections: Too many open files\n/);
	assert.match(d.log, /a connection to provider p is closed: evicted\n/);
	assert.match(d.log, /the connection of 127\.0\.0\.1 is closed: evicted\n/);
	// More descriptors are polled than the process may have: yet both sides of the stream are served.
	for (let i = 0; i < 3; i++) {
		await stream.conn.send(EVENT);
		await head.event();
	}
	await stream.conn.send(DONE);
	await head.finish();
	assert.equal(head.cut, false);
	assert.equal(waiting.total, 0);
	setLimit(pid, 'nofile', before);
	assert.equal((await waiting.readReply()).status, 200, 'nobody who waited was lost');
	meter.forget();
	const failed = (await meter.moved('accept_failures_total')).descriptors;
	assert.ok(failed > 0);
	assert.deepEqual(workers(d), [pid]);
}, { skip: noLimits });

for (const [name, reason, text] of [['EMFILE', 'descriptors', 'Too many open files'], ['ENFILE', 'system_descriptors', 'Too many open files in system'],
	['ENOMEM', 'memory', 'Cannot allocate memory'], ['ENOBUFS', 'memory', 'No buffer space available']]) {
	scenario(`${name} from accept: counted, told once, and no turn of the loop for nothing`, async (s) => {
		const faults = makeFaults(s);
		const d = await s.daemon({ providers: { e: { dialect: 'echo', models: ['m'] } } }, faults.options);
		const meter = await makeMeter(s, d);
		const kept = await s.connect(d);
		await kept.send('GET /health HTTP/1.1\r\n'); // neither idle nor in the way
		await until(async () => (await meter.now('connections'))['client idle'] === 1, 'it was accepted');
		meter.forget();
		faults.set('accept_errno', errno[name] ?? 105);
		const waiting = await s.connect(d);
		await waiting.request({ path: '/health' });
		await d.waitLog(new RegExp(`warn worker 0\\[\\d+\\]: cannot accept connections: ${text}\\n`));
		const polls = faults.get('polls'), start = performance.now();
		await wait(1000);
		const turns = faults.get('polls') - polls, elapsed = performance.now() - start;
		// A try each 100 ms, and a turn or so a second for the heartbeats of the two processes.
		assert.ok(turns <= 2 * (elapsed / 100) + 4 * (elapsed / 1000) + 4, `${turns} turns in ${elapsed} ms`);
		await kept.send('Host: x\r\n\r\n');
		assert.equal((await kept.readReply()).status, 200);
		faults.set('accept_errno', 0);
		assert.equal((await waiting.readReply()).status, 200);
		const moved = await meter.moved('accept_failures_total');
		assert.deepEqual(Object.keys(moved), [reason]);
		assert.ok(moved[reason] >= 5 && moved[reason] <= (performance.now() - start) / 100 + 5, `${moved[reason]}`);
		assert.equal(d.log.match(/cannot accept connections/g).length, 1);
	}, { skip: noFaults });
}

scenario('a connection that was gone before it was accepted costs nobody else a moment', async (s) => {
	const faults = makeFaults(s);
	const d = await s.daemon({ providers: { e: { dialect: 'echo', models: ['m'] } } }, faults.options);
	const meter = await makeMeter(s, d);
	for (const error of [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN]) {
		faults.set('accept_errno', -error);
		assert.equal((await s.request(d, { path: '/health' })).status, 200);
	}
	assert.deepEqual(await meter.moved('accept_failures_total'), { aborted: 3 });
	assert.doesNotMatch(d.log, /cannot accept/);
}, { skip: noFaults });

scenario('no descriptor for a provider: an idle connection gives way, without one a 503', async (s) => {
	const faults = makeFaults(s);
	const provider = await s.peer(), other = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), q: openai(other, ['q']), a: { dialect: 'anthropic', base_url: provider.url, models: ['c'] } } },
		faults.options);
	const meter = await makeMeter(s, d);
	const first = await held(s, d, provider);
	await answered(first);
	await meter.mark();
	faults.set('socket_errno', -errno.EMFILE);
	await answered(await held(s, d, other, chat('q')));
	await first.conn.closed();
	await meter.settles('closes_total', { 'upstream evicted': 1 });

	for (const [name, kind] of [['EMFILE', 'descriptors'], ['ENFILE', 'descriptors'], ['ENOMEM', 'memory'], ['ENOBUFS', 'memory']]) {
		await meter.mark();
		faults.set('socket_errno', errno[name] ?? 105);
		const got = await s.request(d, chat());
		assert.equal(got.status, 503, name);
		assert.equal(got.header('retry-after'), '1');
		assert.match(got.json.error.message, kind === 'memory' ? /no memory left/ : /no descriptors left/);
		assert.equal((await d.waitAccess(got.header('x-request-id'))).status, 503);
		const theirs = await s.request(d, { path: '/v1/messages', json: { model: 'c' } });
		assert.deepEqual([theirs.status, theirs.json.error.type], [529, 'overloaded_error']);
		assert.deepEqual(await meter.moved('upstream_errors_total'), { [`p ${kind}`]: 1, [`a ${kind}`]: 1 });
		assert.deepEqual(await meter.moved('upstream_alerts_total'), {}, 'it is not the provider\'s failure');
		faults.set('socket_errno', 0);
	}
	await answered(await held(s, d, provider));
}, { skip: noFaults });

scenario('no memory from the system: that request or connection is refused, others live, and the worker stays', async (s) => {
	const faults = makeFaults(s);
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } }, faults.options);
	const pids = workers(d);
	const meter = await makeMeter(s, d);
	const calm = await held(s, d, provider);
	faults.set('malloc_least', 100000);
	const client = await s.connect(d);
	const sending = client.request({ path: CHAT, body: `{"pad":"${'y'.repeat(1 << 20)}","model":"m"}` });
	const got = await client.readReply();
	assert.equal(got.status, 503);
	assert.equal(got.header('retry-after'), '1');
	client.destroy();
	await sending;
	faults.set('malloc_least', 1);
	const nothing = await s.connect(d);
	assert.equal(await nothing.closed(), 'end');
	assert.equal(nothing.total, 0);
	faults.set('malloc_least', 0);
	await answered(calm);
	assert.equal((await s.request(d, { path: '/health' })).status, 200);
	assert.equal((await meter.moved('closes_total'))['client memory'], 1);
	assert.deepEqual(workers(d), pids);
}, { skip: noFaults });

scenario('a kernel without memory for poll: everybody is served, and the loop does not spin', async (s) => {
	const faults = makeFaults(s);
	const d = await s.daemon({ providers: { e: { dialect: 'echo', models: ['m'] } } }, faults.options);
	faults.set('poll_errno', errno.ENOMEM);
	for (let i = 0; i < 5; i++)
		assert.equal((await s.request(d, chat('m', { messages: [{ role: 'user', content: 'hi' }] }))).status, 200);
	const polls = faults.get('polls'), start = performance.now();
	await wait(500);
	const calls = faults.get('polls') - polls, elapsed = performance.now() - start;
	// Two processes, a pause of 10 ms in each turn, and a few polls of one descriptor for each.
	assert.ok(calls <= 2 * 20 * (elapsed / 10 + 1), `${calls} polls in ${elapsed} ms`);
}, { skip: noFaults });

// As somebody who has no processes but these, where the test may say who it is.
const asNobodyElse = process.getuid() === 0 ? { under: ['setpriv', '--reuid=61234', '--regid=61234', '--clear-groups'] } : {};

scenario('a worker that cannot be forked is tried again, and a reload meanwhile leaves what is in service', async (s) => {
	const d = await s.daemon({ workers: 2, providers: { e: { dialect: 'echo', models: ['m'] } } }, asNobodyElse);
	const meter = await makeMeter(s, d);
	await wait(1100); // so that it has lived, and would be replaced at once
	const before = setLimit(d.pid, 'nproc', 1);
	const [victim, other] = workers(d);
	process.kill(victim, 'SIGKILL');
	await d.waitLog(/error master\[\d+\]: cannot start worker \d: Resource temporarily unavailable\n/);
	await d.waitLog(/warn master\[\d+\]: worker \d will be started again in 1 s\n/);
	meter.forget();
	assert.equal((await s.request(d, { path: '/health' })).status, 200);
	d.signal('SIGHUP');
	await d.waitLog(/error master\[\d+\]: reload failed: worker \d could not be started; generation 1 stays in service\n/);
	assert.deepEqual(workers(d), [other]);
	meter.forget();
	assert.deepEqual(await meter.moved('reloads_total'), { failed: 1 });
	const failures = (await meter.moved('process_start_failures_total'))[''];
	assert.ok(failures >= 3, `${failures}`);
	setLimit(d.pid, 'nproc', before);
	await until(() => workers(d).length === 2, 'the other one is there', 20000);
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 3\n/);
}, { skip: noLimits });

scenario('a master without descriptors or memory for a reload: the generation before it stays in service', async (s) => {
	const faults = makeFaults(s);
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } }, faults.options);
	const pids = workers(d), before = descriptorCount(d.pid);
	const meter = await makeMeter(s, d);
	const busy = await held(s, d, provider);
	faults.set('map_shared_errno', errno.ENOMEM);
	d.signal('SIGHUP');
	await d.waitLog(/no shared memory for addresses\n/);
	await d.waitLog(/error master\[\d+\]: reload failed: generation 1 stays in service\n/);
	faults.set('map_shared_errno', 0);
	const after = d.log.length;
	const limit = setLimit(d.pid, 'nofile', 3);
	d.signal('SIGHUP');
	await d.waitLog(/error master\[\d+\]: reload failed: generation 1 stays in service\n/, { after });
	setLimit(d.pid, 'nofile', limit);
	assert.deepEqual(await meter.moved('reloads_total'), { failed: 2 });
	assert.deepEqual(workers(d), pids);
	assert.equal(descriptorCount(d.pid), before, 'no descriptor is left');
	d.signal('SIGHUP');
	await d.waitLog(/ready: 1 workers, generation 2\n/);
	await answered(busy);
}, { skip: noFaults || noLimits });

scenario('the connections of a worker that dies are counted by the master, so that none is missing', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ workers: 2, providers: { p: openai(provider) } });
	const meter = await makeMeter(s, d);
	const open = [];
	for (let i = 0; i < 6; i++)
		open.push(await held(s, d, provider));
	for (let i = 0; i < 3; i++)
		open.push({ client: await s.connect(d) });
	await until(async () => (await meter.now('connections'))['client idle'] === 3, 'they are accepted');
	for (const victim of workers(d)) {
		process.kill(victim, 'SIGKILL');
		await until(() => workers(d).length === 2 && !workers(d).includes(victim), 'it was replaced', 20000);
	}
	await Promise.all(open.map(({ client }) => client.closed()));
	meter.forget();
	// Also the meter's own.
	await meter.settles('closes_total', { 'client worker_lost': 10, 'upstream worker_lost': 6 });
	await meter.settles('worker_exits_total', { signal: 2 });
	const now = await meter.now('connections');
	assert.deepEqual(now, { 'client active': 1, 'client idle': 0, 'upstream active': 0, 'upstream idle': 0 });
	// What the dead had gathered was written before they were counted.
	await meter.text({ 'X-Request-Id': 'behind' });
	await d.waitAccess('behind');
	assert.deepEqual(d.access.filter((l) => l.path === CHAT), []);
});

scenario('a stopped resolver: addresses stay, a reload replaces it, and QUIT ends', async (s) => {
	const provider = await s.peer();
	const named = { dialect: 'openai', base_url: `http://localhost:${provider.port}/v1`, models: ['m'] };
	const d = await s.daemon({ providers: { p: named } });
	provider.serve(() => ({ body: OK }));
	assert.equal((await s.request(d, chat())).status, 200);
	const [first] = resolvers(d);
	process.kill(first, 'SIGSTOP');
	assert.equal((await s.request(d, chat())).status, 200);
	d.signal('SIGHUP');
	await d.waitLog(/ready: 1 workers, generation 2\n/);
	await until(() => resolvers(d).length === 1 && resolvers(d)[0] !== first, 'another one is there');
	process.kill(resolvers(d)[0], 'SIGSTOP');
	d.signal('SIGQUIT');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
}, { skip: !hasLocalhost && 'localhost has no address here' });

scenario('a stopped master: workers serve, and a dead one is replaced when it goes on', async (s) => {
	const d = await s.daemon({ workers: 2, providers: { e: { dialect: 'echo', models: ['m'] } } });
	await wait(1100);
	d.signal('SIGSTOP');
	const [victim] = workers(d);
	process.kill(victim, 'SIGKILL');
	for (let i = 0; i < 10; i++)
		assert.equal((await s.request(d, { path: '/health' })).status, 200);
	assert.equal(workers(d).length, 1);
	d.signal('SIGCONT');
	await until(() => workers(d).length === 2, 'it was replaced');
	const meter = await makeMeter(s, d);
	assert.deepEqual(await meter.now('worker_exits_total'), { signal: 1 });
});
