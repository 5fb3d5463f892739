// limits: who may ask how often, as clients see it: 429 and its fields, which limits apply to whom, what is charged and what is not,
// what a bucket outlives, a table that is full, and a hammer of many processes while workers die.

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { limit, scenario, underValgrind, until } from '../lib/scenario.mjs';
import { workers } from '../lib/processes.mjs';

const CHAT = '/v1/chat/completions';
const MESSAGES = '/v1/messages';
const echo = { dialect: 'echo', models: ['echo'] };
const rate = (requests_per_minute, burst) => ({ rate_limit: { requests_per_minute, burst } });
const messages = [{ role: 'user', content: 'hello' }];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const now = () => Number(process.hrtime.bigint() / 1000n) / 1000;

// One request on a connection of its own, with the times before it was sent and after its reply had come.
async function ask(s, d, { local, key, path = CHAT, model = 'echo', ...more } = {}) {
	const conn = await s.connect(d, { local });
	const sent = now();
	const reply = await conn.exchange({
		path, headers: { ...(key && { Authorization: `Bearer ${key}` }), ...more.headers },
		json: { model, max_tokens: 9, messages, ...more.json }, ...(more.body && { body: more.body, chunked: more.chunked }),
	});
	const received = now();
	conn.destroy();
	return Object.assign(reply, { sent, received });
}
async function statuses(s, d, n, options) {
	const all = [];
	for (let i = 0; i < n; i++)
		all.push((await ask(s, d, options)).status);
	return all;
}
async function reload(d, config) {
	const count = () => [...d.log.matchAll(/ready: \d+ workers, generation/g)].length;
	const [before, old] = [count(), workers(d)];
	d.writeConfig(config);
	d.signal('SIGHUP');
	await until(() => count() > before && !workers(d).some((pid) => old.includes(pid)), 'the new generation has taken over');
}
const health = async (s, d) => (await s.request(d, { path: '/health' })).json.rateLimiter;
async function metric(s, d, name) {
	const { text } = await s.request(d, { path: '/metrics' });
	return Number(text.match(new RegExp(`^api_router_${name} (\\d+)$`, 'm'))[1]);
}
const seconds = (text) => {
	const [, h = 0, m = 0, sec] = text.match(/^(?:(\d+)h)?(?:(\d+)m)?(\d+)s$/);
	return Number(h) * 3600 + Number(m) * 60 + Number(sec);
};
// What a 429 says, held against when the bucket will admit the next one and when it will be full, both given as [least, most].
function assertRefused(reply, perMinute, next, full) {
	assert.equal(reply.status, 429, reply.text);
	const ms = Number(reply.header('retry-after-ms'));
	assert.equal(reply.header('retry-after'), String(Math.ceil(ms / 1000)));
	assert.ok(ms >= next[0] - reply.received - 0.1 && ms <= next[1] - reply.sent + 1.1, `${ms} ms, ${next} ${reply.sent} ${reply.received}`);
	assert.equal(reply.header('x-ratelimit-limit-requests'), String(perMinute));
	assert.equal(reply.header('x-ratelimit-remaining-requests'), '0');
	const reset = seconds(reply.header('x-ratelimit-reset-requests'));
	assert.ok(reset * 1000 >= full[0] - reply.received && reset * 1000 <= full[1] - reply.sent + 1000.1, `${reset} s, ${full}`);
}

scenario('a 429 has all its fields in the shape of either dialect, and they are true', async (s) => {
	const d = await s.daemon({ providers: { echo }, ...rate(30, 1) });
	for (const path of [CHAT, MESSAGES]) {
		const first = await ask(s, d, { path });
		assert.equal(first.status, 200);
		const next = [first.sent + 2000, first.received + 2000];
		const reply = await ask(s, d, { path });
		if (reply.received < next[0])
			assertRefused(reply, 30, next, next);
		const { type, error } = reply.json;
		assert.equal(type, path === CHAT ? undefined : 'error');
		assert.equal(error.type, 'rate_limit_error');
		assert.equal(error.code, path === CHAT ? 'rate_limit_exceeded' : undefined);
		assert.match(error.message, new RegExp(`^the limit of 30 requests a minute for every client on ${path} is reached: try again in [12] s$`));
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.equal(line.status, 429);
	}
	assert.match((await s.request(d, { path: '/metrics' })).text, /^api_router_rate_limited_total\{.*path="\/v1\/messages".*\} 1$/m);
});

scenario('the next request is admitted after Retry-After and not a little before', async (s) => {
	const d = await s.daemon({ workers: 2, providers: { echo }, ...rate(30, 1) });
	for (let round = 0; round < 2; round++) {
		const first = await ask(s, d);
		assert.equal(first.status, 200);
		const next = [first.sent + 2000, first.received + 2000];
		await wait(Math.max(0, next[0] - now() - 120));
		const early = await ask(s, d);
		if (early.received < next[0])
			assertRefused(early, 30, next, next);
		if (early.status === 429)
			await wait(Number(early.header('retry-after-ms')) + 1);
		const again = await ask(s, d);
		if (early.status === 429)
			assert.equal(again.status, 200, 'it was told to come then');
		const refused = await ask(s, d);
		if (refused.status === 429) {
			await wait(Number(refused.header('retry-after')) * 1000 + 1);
			assert.equal((await ask(s, d)).status, 200, 'and by whole seconds');
		}
		await wait(2010); // the bucket is full
	}
});

scenario('the time until the bucket is full is told in seconds, minutes and hours', async (s) => {
	for (const [perMinute, burst] of [[60, 12], [30, 45], [1, 125]]) {
		const d = await s.daemon({ providers: { echo }, ...rate(perMinute, burst) });
		const step = 60000 / perMinute;
		let at;
		for (let n = 0; n < burst; n++) {
			const { status, sent, received } = await ask(s, d);
			assert.equal(status, 200);
			at = at ? [Math.max(at[0], sent) + step, Math.max(at[1], received) + step] : [sent + step, received + step];
		}
		const reply = await ask(s, d);
		const slack = (burst - 1) * step;
		if (reply.status === 429 || reply.received < at[0] - slack)
			assertRefused(reply, perMinute, at.map((t) => t - slack), at);
		assert.match(reply.header('x-ratelimit-reset-requests') ?? '2h0m0s', perMinute === 60 ? /^\d+s$/ : perMinute === 30 ? /^1m\d+s$/ : /^2h\d+m\d+s$/);
	}
});

scenario('every client and every path has a bucket of its own, and a client its own limit', async (s) => {
	const keys = { A: 'alice-has-a-long-key', B: 'bob-has-a-long-key-too', C: 'carol-has-a-long-key' };
	const d = await s.daemon({
		workers: 2, providers: { echo }, ...rate(1, 2),
		clients: { alice: { key: 'env:A' }, bob: { key: 'env:B', ...rate(1, 4) }, carol: { key: 'env:C' } },
	}, { env: keys });
	for (const path of [CHAT, MESSAGES]) {
		assert.deepEqual(await statuses(s, d, 3, { key: keys.A, path }), [200, 200, 429]);
		assert.deepEqual(await statuses(s, d, 5, { key: keys.B, path }), [200, 200, 200, 200, 429]);
		assert.deepEqual(await statuses(s, d, 3, { key: keys.C, path, local: '127.0.0.9' }), [200, 200, 429]);
		assert.deepEqual(await statuses(s, d, 1, { key: keys.C, path, local: '127.0.0.8' }), [429], 'a key is the same from everywhere');
	}
	assert.deepEqual(await statuses(s, d, 2, {}), [401, 401], 'who has no key is no one');
	assert.match((await ask(s, d, { key: keys.A })).json.error.message, /^the limit of 1 requests a minute for (this|every) client/);
	assert.deepEqual(await health(s, d), { activeBuckets: 6, routes: { [CHAT]: 3, [MESSAGES]: 3 } });
	assert.equal(await metric(s, d, 'rate_limit_buckets'), 6);
});

scenario('without client keys every address has its bucket', async (s) => {
	const d = await s.daemon({ workers: 2, providers: { echo }, ...rate(1, 2) });
	for (const local of ['127.0.0.1', '127.0.0.2', '127.1.0.1'])
		assert.deepEqual(await statuses(s, d, 3, { local }), [200, 200, 429], local);
	assert.deepEqual(await health(s, d), { activeBuckets: 3, routes: { [CHAT]: 3 } });
});

scenario('an endpoint\'s limit takes the place of the provider\'s; that and the general one are charged together or not at all', async (s) => {
	const peer = await s.peer();
	peer.serve(() => ({ body: '{}' }));
	const openai = (more) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, ...more });
	const config = (general) => ({
		...(general && rate(1, general)),
		providers: {
			echo: { ...echo, ...rate(1, 3), endpoints: [{ path: MESSAGES, ...rate(1, 1) }] },
			free: openai({ models: ['free'] }),
		},
	});
	const d = await s.daemon(config());
	assert.deepEqual(await statuses(s, d, 4), [200, 200, 200, 429]);
	assert.match((await ask(s, d)).json.error.message, /^the limit of 1 requests a minute at this provider/);
	assert.deepEqual(await statuses(s, d, 2, { path: MESSAGES }), [200, 429]);
	assert.deepEqual(await statuses(s, d, 5, { model: 'free' }), Array(5).fill(200));

	// The general limit refuses: the provider is not charged.
	const local = '127.0.0.2';
	await reload(d, config(2));
	assert.deepEqual(await statuses(s, d, 6, { local }), [200, 200, 429, 429, 429, 429]);
	assert.match((await ask(s, d, { local })).json.error.message, /^the limit of 1 requests a minute for every client/);
	await reload(d, config());
	assert.deepEqual(await statuses(s, d, 2, { local }), [200, 429], 'of three one was left');

	// The provider refuses: the general limit is not charged.
	const other = '127.0.0.3';
	await reload(d, config(5));
	assert.deepEqual(await statuses(s, d, 6, { local: other }), [200, 200, 200, 429, 429, 429]);
	assert.match((await ask(s, d, { local: other })).json.error.message, /^the limit of \d+ requests a minute at this provider/);
	assert.deepEqual(await statuses(s, d, 3, { local: other, model: 'free' }), [200, 200, 429], 'of five two were left');
});

scenario('a request is charged once, whatever it is and becomes; one that goes nowhere is not', async (s) => {
	const peer = await s.peer();
	peer.close(); // nobody listens there
	const d = await s.daemon({
		...rate(1, 3),
		providers: { echo, bad: { dialect: 'openai', base_url: `${peer.url}/v1` } },
	});
	for (let i = 0; i < 6; i++) {
		assert.equal((await ask(s, d, { local: '127.0.0.2', model: 'none' })).status, 404);
		assert.equal((await ask(s, d, { local: '127.0.0.2', body: '{"model":"echo",' })).status, 400);
		assert.equal((await ask(s, d, { local: '127.0.0.2', path: '/v1/nothing' })).status, 404);
	}
	assert.deepEqual(await statuses(s, d, 4, { local: '127.0.0.2' }), [200, 200, 200, 429]);
	assert.deepEqual(await statuses(s, d, 4, { local: '127.0.0.3', json: { stream: true } }), [200, 200, 200, 429], 'streams');
	const body = JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: 'word '.repeat(100000) }] });
	for (const chunked of [undefined, 65536])
		assert.deepEqual(await statuses(s, d, 4, { local: chunked ? '127.0.0.4' : '127.0.0.5', body, chunked }), [200, 200, 200, 429], 'large bodies');
	assert.deepEqual(await statuses(s, d, 4, { local: '127.0.0.6', model: 'bad/x' }), [502, 502, 502, 429], 'what the provider failed at');
});

scenario('a bucket outlives reloads and workers, and a changed limit applies at once', async (s) => {
	const config = (perMinute, burst) => ({ workers: 2, providers: { echo }, ...(burst && rate(perMinute, burst)) });
	const d = await s.daemon(config(1, 4));
	assert.deepEqual(await statuses(s, d, 2), [200, 200]);
	await reload(d, config(1, 4));
	assert.deepEqual(await statuses(s, d, 1), [200]);
	await wait(limit(1100)); // who dies younger comes back later
	for (const pid of workers(d))
		process.kill(pid, 'SIGKILL');
	await until(async () => /was killed by signal 9[^]*was killed by signal 9/.test(d.log) && workers(d).length === 2, 'others have come');
	assert.deepEqual(await statuses(s, d, 2), [200, 429]);
	await reload(d, config(1, 6));
	assert.deepEqual(await statuses(s, d, 3), [200, 200, 429], 'two more');
	// Six minutes are owed. Of a limit of two a second that is a burst and no more.
	await reload(d, config(120, 3));
	const reply = await ask(s, d);
	assert.equal(reply.status, 429);
	assert.equal(reply.header('retry-after'), '1');
	assert.ok(Number(reply.header('retry-after-ms')) <= 500);
	await wait(Number(reply.header('retry-after-ms')) + 1);
	assert.equal((await ask(s, d)).status, 200, 'it was told to come then');
	await reload(d, config());
	assert.deepEqual(await statuses(s, d, 9), Array(9).fill(200), 'no limit');
}, { ms: 90000 });

scenario('a table that is full refuses nobody and counts what it gives up', async (s) => {
	const identities = 400;
	const d = await s.daemon({ workers: 2, providers: { echo }, limits: { rate_buckets: 64 }, ...rate(1, 1) });
	let refused = 0;
	for (let n = 0; n < identities; n += 20) {
		const all = await Promise.all(Array.from({ length: 20 }, (_, i) =>
			ask(s, d, { local: `127.0.${n / 20}.${i + 1}`, path: i % 2 ? CHAT : MESSAGES })));
		refused += all.filter((r) => r.status !== 200).length;
	}
	assert.ok(refused <= 1, `${refused} were refused; one in 100,000 shares a bucket with another`);
	assert.ok(await metric(s, d, 'rate_limit_evictions_total') >= identities - 64 - refused);
	const { activeBuckets, routes } = await health(s, d);
	assert.ok(activeBuckets > 32 && activeBuckets <= 64, `${activeBuckets} active`);
	assert.deepEqual(Object.keys(routes), [CHAT, MESSAGES]);
	assert.equal(routes[CHAT] + routes[MESSAGES], activeBuckets);
});

// What is asserted of the hammer. An admission lies somewhere between the moment at which its request was sent and that at which
// its reply had come. So of every window of time, from one sending to one receipt, those count that lie in it with both ends, and
// they are at most burst + rate * its length. From below: with those that may have been charged when their worker died, nine
// tenths of that over the whole time, if enough was asked for.
scenario('eight processes against four workers that die admit no more than the limit', async (s) => {
	const [perMinute, burst, time, processes] = [3000, 100, 30, 8];
	const d = await s.daemon({ workers: 4, providers: { echo }, ...rate(perMinute, burst) });
	const script = fileURLToPath(new URL('../lib/hammer.mjs', import.meta.url));
	const children = Array.from({ length: processes }, () => fork(script, [String(d.port), String(time), '14']));
	s.keep({ stop: () => children.forEach((child) => child.kill('SIGKILL')) });
	const results = children.map((child) => new Promise((done, failed) => {
		child.on('message', done);
		child.on('exit', (code) => code && failed(new Error(`a hammer ended with ${code}`)));
	}));
	let kills = 0, running = true;
	const killer = (async () => {
		await wait(1500);
		while (running) {
			const all = workers(d);
			if (all.length > 1) {
				process.kill(all[Math.floor(Math.random() * all.length)], 'SIGKILL');
				kills++;
			}
			await wait(500 + Math.random() * 1000);
		}
	})();
	const told = await Promise.all(results);
	running = false;
	await killer;

	assert.deepEqual(told.flatMap((t) => t.wrong).slice(0, 5), []);
	const admitted = told.flatMap((t) => t.admitted).sort((a, b) => a[1] - b[1]);
	const sum = (name) => told.reduce((n, t) => n + t[name], 0);
	const [refused, lost] = [sum('refused'), sum('lost')];
	const most = (us) => burst + perMinute * us / 60e6;
	let [excess, where] = [-Infinity, ''];
	for (const [from] of admitted) {
		let n = 0;
		for (const [sent, received] of admitted) {
			if (sent < from)
				continue;
			if (++n - most(received - from) > excess)
				[excess, where] = [n - most(received - from), `${n} in ${received - from} us`];
		}
	}
	const whole = admitted.at(-1)[1] - Math.min(...admitted.map(([sent]) => sent));
	const shown = `${admitted.length} admitted, ${refused} refused, ${lost} lost, ${kills} kills, ${(whole / 1e6).toFixed(1)} s; ` +
		`at most ${most(whole).toFixed(1)}; nearest to the limit: ${where}`;
	console.log(`# ${shown}`);
	assert.ok(excess <= 0, shown);
	assert.ok(kills >= 10, shown);
	if (admitted.length + refused > 5 * most(whole))
		assert.ok(admitted.length + lost >= 0.9 * most(whole), shown);
	assert.equal(await metric(s, d, 'rate_limit_evictions_total'), 0);
}, { ms: 120000, skip: underValgrind && 'there it is too slow to reach the limit' });
