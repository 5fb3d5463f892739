// floods: peers that only mean harm, many at once, while honest clients go on: each of their requests is answered rightly, the workers'
// memory stays below a bound that is stated, their descriptors come back to what they were, the closes are counted by their reasons, and
// no worker dies.

import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import net from 'node:net';
import { Load } from '../lib/load.mjs';
import { descriptorCount, residentKib, workers } from '../lib/processes.mjs';
import { streamHead } from '../lib/peer.mjs';
import { limit, scenario, until } from '../lib/scenario.mjs';
import { chunk, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const BODY = '{"model":"m"}', OK = '{"id":"x","choices":[]}';
const MIB = 1 << 20;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const post = (fields, body) => message(`POST ${CHAT} HTTP/1.1`, { Host: 'x', ...fields }, body);

// Hostile clients, so many that each is only a socket: what it got, and whether the daemon has closed it.
class Crowd {
	constructor(port) {
		this.port = port;
		this.all = [];
	}
	async add(n, options = {}) {
		for (let made = 0; made < n; made += 200)
			await Promise.all(Array.from({ length: Math.min(200, n - made) }, () => this.one(options)));
	}
	one(options) {
		return new Promise((resolve, reject) => {
			const socket = net.connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true, ...options });
			const each = { socket, text: '', over: false };
			socket.once('connect', () => resolve(each));
			socket.once('error', reject);
			socket.on('error', () => (each.over = true));
			socket.on('end', () => (each.over = true));
			socket.on('close', () => (each.over = true));
			socket.on('data', (data) => (each.text.length < 4096 ? (each.text += data.toString('latin1')) : 0));
			this.all.push(each);
		});
	}
	each(act) {
		this.all.filter((one) => !one.over && !one.socket.destroyed).forEach(act);
	}
	count(pattern) {
		return this.all.filter((one) => pattern.test(one.text)).length;
	}
	async over(ms = 20000) {
		await until(() => this.all.every((one) => one.over), 'all of the crowd were closed', ms);
	}
	stop() {
		this.all.forEach((one) => one.socket.destroy());
	}
}

// A daemon with a provider `p` and the echo provider, under honest load. `attack({ s, d, provider, crowd })` gives the closes of clients that
// it must have caused, by reason. `grow`: the most that a worker may grow, in bytes; `config`: more of it.
function flood(name, { grow, config = {}, ms = 40000, providers = () => ({}), answer = () => ({ body: OK }) }, attack) {
	scenario(name, async (s) => {
		const provider = await s.peer();
		provider.serve(answer);
		const d = await s.daemon({
			...config,
			providers: { p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'] }, echo: { dialect: 'echo', models: ['echo'] }, ...providers(provider) },
		});
		const ask = async (path) => (await s.request(d, { path })).text;
		const closes = async () => Object.fromEntries([...(await ask('/metrics')).matchAll(/closes_total\{side="client",reason="(\w+)"\} (\d+)/g)].map(([, reason, n]) => [reason, Number(n)]));
		const connections = async (side, state) => Number((await ask('/metrics')).match(`connections{side="${side}",state="${state}"} (\\d+)`)[1]);
		const idle = () => connections('upstream', 'idle'); // kept for the next request

		assert.equal((await s.request(d, { path: CHAT, body: BODY })).text, OK);
		const pids = workers(d);
		const descriptors = () => pids.reduce((sum, pid) => sum + descriptorCount(pid), 0);
		const held = descriptors() - await idle(), resident = pids.map(residentKib), before = await closes();
		let most = 0;
		const watch = setInterval(() => pids.forEach((pid, i) => (most = Math.max(most, (residentKib(pid) - resident[i]) * 1024))), 50);
		s.keep({ stop: () => clearInterval(watch) });
		const load = s.keep(new Load(d, { clients: 4 })), single = s.keep(new Load(d, { clients: 2, keepAlive: false }));
		const crowd = s.keep(new Crowd(d.port));
		await load.more(20);
		const caused = await attack({ s, d, provider, crowd, closes });
		await load.more(20); // and are served still
		await Promise.all([load.stop(), single.stop()]);
		clearInterval(watch);
		crowd.stop();
		assert.deepEqual([...load.failed, ...single.failed], [], 'no honest request failed');
		assert.deepEqual(workers(d), pids, 'no worker died');
		assert.ok(most < grow || limit(1) > 1, `a worker grew by ${most} bytes`); // sanitizers and valgrind keep what was freed
		await until(async () => (await connections('client', 'active')) === 1, 'only this one is connected', 20000);
		const kept = await idle();
		await until(() => descriptors() <= held + kept, 'all descriptors are given back', 20000);
		const after = await closes();
		for (const [reason, n] of Object.entries(caused ?? {}))
			assert.equal((after[reason] ?? 0) - (before[reason] ?? 0), n, `closes for ${reason}: ${JSON.stringify(after)}`);
		console.log(`| ${name}: ${load.done + single.done} honest requests, a worker grew by ${(most / MIB).toFixed(1)} MiB`);
	}, { ms });
}

// A byte for each that is still there, now and then.
async function trickle(crowd, done) {
	while (!done()) {
		crowd.each((one) => one.socket.write(' '));
		await later(1000);
	}
}

flood('slowloris: 2,000 connections, half in the head and half in the body', { grow: 32 * MIB, config: { timeouts: { head: 4, body: 4 } } }, async ({ crowd }) => {
	await crowd.add(2000);
	crowd.all.forEach((one, n) => one.socket.write(n % 2 ? `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nX: ` : post({ 'Content-Length': 1000000 })));
	await trickle(crowd, () => crowd.all.every((one) => one.over));
	const [heads, bodies, evicted] = [/^HTTP\/1\.1 408[^]*timeouts\.head/, /^HTTP\/1\.1 408[^]*limits\.rate_bytes/, /limits\.connections/].map((p) => crowd.count(p));
	const silent = crowd.count(/^$/); // heads that gave way
	assert.equal(heads + bodies + silent, 2000);
	assert.ok(heads + bodies - evicted > 1900, `${heads} and ${bodies}, of which ${evicted} gave way`);
	return { timeout: heads + bodies - evicted, evicted: evicted + silent };
});

flood('slow bodies alone fill the table', { grow: 32 * MIB, config: { timeouts: { body: 600 } } }, async ({ s, d, crowd }) => {
	for (let n = 0; n < 3000; n += 250) {
		const from = crowd.all.length;
		await crowd.add(250);
		crowd.all.slice(from).forEach((one) => one.socket.write(post({ 'Content-Length': 1000000 })));
		crowd.each((one) => one.socket.write(' '));
		await s.request(d, { path: '/health' }); // behind all of these: however late the worker is, it has them now
		await later(100); // before that no body is slow
	}
	const gone = () => crowd.all.filter((one) => one.over);
	await until(() => gone().length >= 1000, 'as many as are too many gave way', 20000);
	const told = /^HTTP\/1\.1 408[^]*limits\.connections/; // before the end, so that some may have that and no end yet
	assert.deepEqual(gone().map((one) => one.text).filter((text) => !told.test(text)), [], 'and were told');
	assert.equal(crowd.count(/ 503 /), 0);
});

flood('bombs of heads', { grow: 32 * MIB, config: { limits: { headers: 100 } } }, async ({ crowd, s, d }) => {
	await crowd.add(60);
	const field = Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(MIB)}`), fields = Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n${'X: y\r\n'.repeat(100000)}`);
	const endless = Buffer.from(`GET /${'y'.repeat(MIB)}`);
	crowd.all.forEach((one, n) => one.socket.write([field, fields, endless][n % 3]));
	await until(() => crowd.count(/^HTTP\/1\.1 4(31|14) /) === 60, 'all were refused');
	// 10,000 requests with heads as large as may be, in a row.
	const pad = 32768 - Buffer.byteLength('GET / HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n');
	const request = Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(pad)}\r\n\r\n`);
	await Promise.all(Array.from({ length: 10 }, async () => {
		const conn = await s.connect(d);
		const sending = (async () => {
			for (let n = 0; n < 1000; n += 10)
				await conn.send(Buffer.concat(Array(10).fill(request)));
		})();
		for (let n = 0; n < 1000; n++)
			assert.equal((await conn.readReply()).status, 200);
		await sending;
		conn.destroy();
	}));
	return { refused: 60 };
});

flood('random bytes', { grow: 16 * MIB, config: { timeouts: { head: 2, body: 2, keep_alive: 2 } } }, async ({ crowd }) => {
	let seed = Number(process.env.RANDOM_SEED ?? 7);
	const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
	const starts = ['', 'POST /v1/chat/completions HTTP/1.1\r\n', post({ 'Transfer-Encoding': 'chunked' }).toString(), post({ 'Content-Length': 5000 }).toString(), '\x16\x03\x01\x02\x00'];
	await crowd.add(1000);
	crowd.all.forEach((one) => {
		one.socket.write(starts[random(starts.length)], 'latin1');
		one.socket.write(Buffer.from(Array.from({ length: 1 + random(3000) }, () => random(65536) >> 8)));
	});
	await crowd.over();
	assert.equal(crowd.all.length - crowd.count(/^$/) - crowd.count(/^HTTP\/1\.1 (4\d\d|50[15]) /), 0, 'each was refused or heard nothing');
});

const answerAfter = (ms) => async () => {
	await later(ms);
	return { body: OK };
};
flood('sockets that are shut on one side, at every state', { grow: 16 * MIB, answer: answerAfter(30) }, async ({ crowd, d, provider }) => {
	const whole = post({}, BODY), stream = post({}, '{"model":"echo","stream":true,"messages":[{"role":"user","content":"a b c d e f"}]}');
	const states = ['', 'GET', 'GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nHost: x\r\n', post({ 'Content-Length': 100 }), post({ 'Content-Length': 100 }) + '{', post({ 'Transfer-Encoding': 'chunked' }) + '5\r\n{', whole, stream,
		Buffer.concat([whole, whole]), Buffer.concat([whole, whole.subarray(0, 20)]), 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'nonsense\r\n\r\n', `POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe`, post({ Expect: '100-continue', 'Content-Length': 13 })];
	for (let round = 0; round < 10; round++) {
		const from = crowd.all.length;
		await crowd.add(states.length * 3);
		crowd.all.slice(from).forEach((one, n) => {
			one.socket.write(states[n % states.length]);
			if (n < states.length)
				one.socket.end();
			else
				setTimeout(() => one.socket.end(), n < states.length * 2 ? 5 : 60);
		});
	}
	await crowd.over();
	await until(() => d.access.filter((l) => l.end === 'client_gone').length > 0);
	assert.ok(crowd.all.every((one) => (one.text.match(/HTTP\/1\.1 200/g) ?? []).length <= 2));
	assert.ok(provider.connections.every((conn) => conn.available === 0));
});

flood('connections that are opened and closed at once', { grow: 16 * MIB }, async ({ d }) => {
	const once = (how) => new Promise((resolve) => {
		const socket = net.connect({ port: d.port, host: '127.0.0.1' }, () => (how ? socket.resetAndDestroy() : socket.destroy()));
		socket.on('close', resolve);
		socket.on('error', () => {});
	});
	for (let n = 0; n < 6000; n += 100)
		await Promise.all(Array.from({ length: 100 }, (_, i) => once(i % 2)));
});

flood('1,000 requests in one write, of clients that read slowly', { grow: 32 * MIB }, async ({ s, d }) => {
	const ask = (n) => post({}, JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: `say ${n}` }] }));
	await Promise.all(Array.from({ length: 5 }, async () => {
		const conn = await s.connect(d);
		conn.received.length = 0;
		await conn.send(Buffer.concat(Array.from({ length: 1000 }, (_, n) => ask(n))));
		for (let n = 0; n < 1000; n++)
			assert.equal((await conn.readReply()).json.choices[0].message.content, `say ${n}`);
		conn.destroy();
	}));
	// One byte a read.
	const got = [], words = 'word '.repeat(800).trim();
	const read = { buffer: Buffer.alloc(1), callback: (n, buffer) => got.push(buffer[0]) > 0 };
	const socket = net.connect({ port: d.port, host: '127.0.0.1', onread: read });
	socket.write(post({ Connection: 'close' }, JSON.stringify({ model: 'echo', stream: true, messages: [{ role: 'user', content: words }] })));
	await until(() => Buffer.from(got.slice(-5)).toString() === '0\r\n\r\n', 'all was read', 20000);
	socket.destroy();
	assert.match(Buffer.from(got).toString(), /data: \[DONE\]/);
});

flood('clients that never read', { grow: 64 * MIB, config: { timeouts: { send: 1 } }, answer: (_, conn, n) => ({ body: n === 1 ? OK : `{"x":"${'x'.repeat(16 * MIB)}"}` }) }, async ({ crowd, closes }) => {
	await crowd.add(30);
	for (const one of crowd.all) {
		one.socket.pause();
		one.socket.write(post({}, BODY));
	}
	await until(async () => (await closes()).timeout === 30, 'all were sent away', 20000);
	return { timeout: 30 };
});

// ---- providers

const gemini = (provider) => ({ g: { dialect: 'gemini', base_url: provider.url, models: ['g'] } });
const chat = (more = {}) => ({ path: CHAT, json: { model: 'g', messages: [{ role: 'user', content: 'x' }], ...more } });

flood('a provider that sends a bomb of gzip', { grow: 24 * MIB, providers: gemini, config: { limits: { reply_bytes: 4 * MIB, event_bytes: 4 * MIB } },
	answer: (request) => (/generateContent/.test(request.target) ? { headers: { 'Content-Encoding': 'gzip' }, body: gzipSync(Buffer.alloc(200 * MIB, ' ')) } : { body: OK }),
}, async ({ s, d }) => {
	for (let n = 0; n < 3; n++) {
		const reply = await s.request(d, chat());
		assert.equal(reply.status, 502);
		assert.match(reply.json.error.message, /limits\.reply_bytes/);
	}
});

// Bytes without end, until the other side has had enough.
async function pour(conn, piece) {
	for (let sent = 0; !conn.ending && !conn.socket.destroyed && sent < 256 * MIB; sent += piece.length) {
		await Promise.race([conn.send(piece), conn.closed().catch(() => {})]);
		await new Promise((resolve) => setImmediate(resolve));
	}
}
const head = Buffer.from('HTTP/1.1 200 OK\r\n'), interim = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(2000));
const endless = {
	'an endless head': [head, Buffer.from('X: y\r\n'.repeat(2000)), 502],
	'an endless field': [Buffer.concat([head, Buffer.from('X: ')]), Buffer.alloc(16384, 'y'), 502],
	'an endless status line': [Buffer.from('HTTP/1.1 200 '), Buffer.alloc(16384, 'y'), 502],
	'interim replies without end': [Buffer.alloc(0), interim, 504],
};
for (const [name, [first, piece, status]] of Object.entries(endless))
	flood(`a provider that sends ${name}`, { grow: 8 * MIB, config: { timeouts: { first_byte: 1 } },
		answer: async (_, conn, n) => {
			if (n === 1)
				return { body: OK };
			await conn.send(first);
			await pour(conn, piece);
		},
	}, async ({ s, d }) => {
		const reply = await s.request(d, { path: CHAT, body: BODY });
		assert.equal(reply.status, status, reply.text);
	});

flood('a provider that sends an event without an end', { grow: 24 * MIB, providers: gemini, config: { limits: { event_bytes: 2 * MIB } },
	answer: async (request, conn) => {
		if (!/streamGenerateContent/.test(request.target))
			return { body: OK };
		await conn.send(streamHead());
		await conn.send(chunk('data: {"x":"'));
		await pour(conn, chunk(Buffer.alloc(65536, 'y')));
	},
}, async ({ s, d }) => {
	const reply = await s.request(d, chat({ stream: true }));
	assert.ok(reply.status === 502 || reply.cut, `${reply.status} ${reply.text}`);
	assert.match(reply.text, /limits\.event_bytes/);
});

flood('a provider that sends a chunk of 2^62', { grow: 8 * MIB,
	answer: async (_, conn, n) => {
		if (n === 1)
			return { body: OK };
		await conn.send(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4000000000000000\r\n`);
		await pour(conn, Buffer.alloc(65536, ' '));
	},
}, async ({ s, d, provider }) => {
	const client = await s.connect(d);
	await client.request({ path: CHAT, body: BODY });
	await client.wait(() => client.total > 8 * MIB, '8 MiB of it');
	client.destroy();
	await until(() => provider.open.length === 1 || provider.open.length === 0, 'its connection is given up');
	assert.equal((await d.waitAccess((line) => line.end === 'client_gone')).status, 200);
});
