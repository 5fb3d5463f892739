// resets: a client or a provider that resets its connection, at every point of a request, over plain connections and TLS to
// the provider. Each costs its own request, is counted once, and leaves nothing behind.

import assert from 'node:assert/strict';
import { makeMeter } from '../lib/metrics.mjs';
import { certificates, reply, streamHead } from '../lib/peer.mjs';
import { descriptorCount, seesDescriptors, workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, events, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const OK = { object: 'chat.completion', choices: [] };
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n';
const LARGE = 3 << 20;

// What stands between a test and the daemon: a client, and the provider's end of its request.
class Stage {
	constructor(s, d, provider) {
		Object.assign(this, { s, d, provider });
	}
	async connect() {
		this.client = await this.s.connect(this.d);
	}
	async ask({ stream = false, version, headers } = {}) {
		if (!this.client)
			await this.connect();
		this.id = `r${Math.random().toString(36).slice(2)}`;
		await this.client.request({ path: CHAT, version, headers: { 'X-Request-Id': this.id, ...headers }, json: { model: 'm', stream } });
	}
	// The request at the provider, on a new connection.
	async arrive() {
		({ conn: this.conn, request: this.request } = await this.provider.request());
	}
	async asked(options) {
		await this.ask(options);
		await this.arrive();
	}
	// The head of a large body and the beginning of it.
	async begin(length, sent) {
		await this.connect();
		this.id = `r${Math.random().toString(36).slice(2)}`;
		await this.client.send(message(`POST ${CHAT} HTTP/1.1`, { Host: 'x', 'X-Request-Id': this.id, 'Content-Type': 'application/json', 'Content-Length': length }));
		await this.client.send(`{"model":"m","pad":"${'y'.repeat(sent)}`);
	}
	async whole() {
		await this.conn.send(reply({ body: OK }));
		const got = await this.client.readReply();
		assert.equal(got.status, 200);
	}
}

// Client: how far it goes before it resets; the line of the access log, if there is one; what is closed.
const CLIENT = {
	'before it has said anything': { go: (t) => t.connect(), closes: { 'client peer': 1 } },
	'in the middle of a head': {
		go: async (t) => {
			await t.connect();
			await t.client.send('POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: ');
		},
		closes: { 'client peer': 1 },
	},
	'in the middle of a body': { go: (t) => t.begin(2000, 1000), line: [null, 'client_gone', 0], closes: { 'client peer': 1 } },
	'in the middle of a body that is on its way to the provider': {
		go: async (t) => {
			await t.begin(LARGE, 1 << 20);
			t.conn = await t.provider.accept();
			await t.conn.readHead();
		},
		line: [null, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'while it waits': { go: (t) => t.asked(), line: [null, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 } },
	'while it waits, as HTTP/1.0': {
		go: (t) => t.asked({ version: 'HTTP/1.0' }), line: [null, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'while it waits, with the next request behind it': {
		go: async (t) => {
			await t.asked();
			await t.client.send(message(`POST ${CHAT} HTTP/1.1`, { Host: 'x' }, '{"model":"m"}'));
		},
		line: [null, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'while half of the provider\'s head is there': {
		go: async (t) => {
			await t.asked();
			await t.conn.send('HTTP/1.1 200 OK\r\nContent-Ty');
		},
		line: [null, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'before the first event of a stream': {
		go: async (t) => {
			await t.asked({ stream: true });
			await t.conn.send(streamHead());
		},
		line: [null, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'in the middle of a stream': {
		go: async (t) => {
			await t.asked({ stream: true });
			await t.conn.send(streamHead());
			await t.conn.send(chunk(EVENT));
			await (await t.client.readHead()).event();
		},
		line: [200, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'in the middle of a reply': {
		go: async (t) => {
			await t.asked();
			await t.conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'audio/mpeg', 'Content-Length': 100000 }));
			await t.conn.send('x'.repeat(50000));
			await t.client.read(40000);
		},
		line: [200, 'client_gone', 1], closes: { 'client peer': 1, 'upstream abandoned': 1 },
	},
	'while it is kept for the next request': {
		go: async (t) => {
			await t.asked();
			await t.whole();
		},
		line: [200, 'complete', 1], closes: { 'client peer': 1 }, kept: true,
	},
	'after the last reply': {
		go: async (t) => {
			await t.asked({ headers: { Connection: 'close' } });
			await t.whole();
			await until(() => t.client.ending, 'the daemon has shut its side');
		},
		line: [200, 'complete', 1], closes: { 'client done': 1 }, kept: true,
	},
};

// Provider: how far it goes before it resets, and what the client then sees.
const refused = async (t) => {
	const got = await t.client.readReply();
	assert.equal(got.status, 502);
	assert.match(got.json.error.message, /reset/);
	assert.equal((await t.client.exchange({ path: '/health' })).status, 200, 'its connection is still good');
	t.client.destroy();
};
const cut = async (t, got) => {
	await got.finish();
	assert.equal(got.status, 200);
	assert.equal(got.cut, true);
	await t.client.closed();
};
const PROVIDER = {
	'before its head': { go: (t) => t.asked(), seen: refused, line: [502, 'upstream_error', 1], closes: { 'client peer': 1, 'upstream failed': 1 } },
	'in the middle of its head': {
		go: async (t) => {
			await t.asked();
			await t.conn.send('HTTP/1.1 200 OK\r\nContent-Ty');
		},
		seen: refused, line: [502, 'upstream_error', 1], closes: { 'client peer': 1, 'upstream failed': 1 },
	},
	'before the first event of a stream': {
		go: async (t) => {
			await t.asked({ stream: true });
			await t.conn.send(streamHead());
		},
		seen: refused, line: [502, 'upstream_error', 1], closes: { 'client peer': 1, 'upstream failed': 1 },
	},
	'in the middle of a stream': {
		go: async (t) => {
			await t.asked({ stream: true });
			await t.conn.send(streamHead());
			await t.conn.send(chunk(EVENT));
			t.head = await t.client.readHead();
			await t.head.event();
		},
		seen: async (t) => {
			await cut(t, t.head);
			assert.match(events(t.head.text).at(-1).data, /reset/);
		},
		line: [200, 'upstream_error', 1], closes: { 'client cut': 1, 'upstream failed': 1 },
	},
	'in the middle of a reply': {
		go: async (t) => {
			await t.asked();
			await t.conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'audio/mpeg', 'Content-Length': 100000 }));
			await t.conn.send('x'.repeat(50000));
			t.head = await t.client.readHead();
			await t.head.until('x');
		},
		seen: (t) => cut(t, t.head), line: [200, 'upstream_error', 1], closes: { 'client cut': 1, 'upstream failed': 1 },
	},
	'while a large body is on its way to it': {
		go: async (t) => {
			await t.begin(LARGE, 1 << 20);
			t.conn = await t.provider.accept();
			await t.conn.readHead();
		},
		seen: async (t) => {
			const got = await t.client.readReply();
			assert.equal(got.status, 502);
			assert.equal(await t.client.closed(), 'end', 'what is left of the body cannot be told from a request');
			t.client.destroy();
		},
		line: [502, 'upstream_error', 1], closes: { 'client done': 1, 'upstream failed': 1 },
	},
	'while it is kept for the next request': {
		go: async (t) => {
			await t.asked();
			await t.whole();
		},
		seen: async (t) => {
			await t.asked();
			await t.whole();
			t.client.destroy();
		},
		errors: {}, line: [200, 'complete', 1], closes: { 'client peer': 1, 'upstream stale': 1 }, kept: true,
	},
	'when the next request comes on a kept connection': {
		go: async (t) => {
			await t.asked();
			await t.whole();
			await t.ask();
			await t.conn.readRequest();
		},
		seen: async (t) => {
			await t.arrive();
			await t.whole();
			t.client.destroy();
		},
		errors: {}, line: [200, 'complete', 1], closes: { 'client peer': 1, 'upstream stale': 1 }, kept: true,
	},
	'after a byte of the second reply on a kept connection': {
		go: async (t) => {
			await t.asked();
			await t.whole();
			await t.ask();
			await t.conn.readRequest();
			await t.conn.send('H');
		},
		seen: refused, line: [502, 'upstream_error', 1], closes: { 'client peer': 1, 'upstream failed': 1 },
	},
};

// The matrix over one worker: counters exactly, descriptors as before, the same worker.
async function matrix(s, tls, states, act) {
	const provider = await s.peer({ tls });
	const d = await s.daemon({ providers: { p: {
		dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'], ...(tls && { tls: { ca_file: certificates().caFile } }),
	} } });
	const [pid] = workers(d);
	const meter = await makeMeter(s, d);
	const before = seesDescriptors && descriptorCount(pid);
	for (const [name, state] of Object.entries(states)) {
		try {
			await meter.mark();
			const t = new Stage(s, d, provider);
			const lines = d.access.filter((l) => l.path === CHAT).length;
			await state.go(t);
			// What was sent is read by now, or by the time that the reset is: both are one turn's work.
			await meter.text();
			await act(t, state, meter);
			await meter.settles('closes_total', state.closes);
			if (state.line) {
				const { status, end, attempts } = await d.waitAccess(t.id);
				assert.deepEqual([status, end, attempts], state.line);
			} else {
				const behind = `behind-${Object.keys(states).indexOf(name)}`;
				await meter.text({ 'X-Request-Id': behind });
				await d.waitAccess(behind); // lines come in order
				assert.equal(d.access.filter((l) => l.path === CHAT).length, lines, 'there was no request');
			}
			const { 'upstream idle': idle, ...others } = await meter.now('connections');
			assert.deepEqual(others, { 'client active': 1, 'client idle': 0, 'upstream active': 0 });
			assert.equal(idle, state.kept ? 1 : 0);
			assert.ok(!seesDescriptors || descriptorCount(pid) === before + idle, 'no descriptor is left');
			if (idle) { // none for the next
				provider.open.at(-1).end();
				await until(() => provider.open.length === 0 || provider.open.at(-1).socket.writableEnded, 'it is ended');
				await meter.mark();
				const last = new Stage(s, d, provider);
				await last.asked({ headers: { Connection: 'close' } });
				await last.conn.send(reply({ headers: { Connection: 'close' }, body: OK }));
				await last.client.readReply();
				last.client.destroy();
				await d.waitAccess(last.id);
				await meter.settles('closes_total', { 'client done': 1, 'upstream done': 1, 'upstream stale': 1 });
			}
		} catch (error) {
			error.message = `${name}: ${error.message}`;
			throw error;
		}
	}
	assert.deepEqual(workers(d), [pid]);
	assert.deepEqual(await meter.now('worker_exits_total'), {});
}

for (const tls of [false, true]) {
	const over = tls ? ', the provider over TLS' : '';
	scenario(`a client that resets at every point${over}`, (s) => matrix(s, tls, CLIENT, async (t, state) => {
		t.client.reset();
		if (t.conn && !state.kept)
			await t.conn.closed();
	}));
	scenario(`a provider that resets at every point${over}`, (s) => matrix(s, tls, PROVIDER, async (t, state, meter) => {
		t.conn.reset();
		await state.seen(t);
		assert.deepEqual(await meter.moved('upstream_errors_total'), state.errors ?? { 'p reset': 1 });
	}));
}

scenario('a provider that resets as soon as it has a connection, in the handshake too', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: {
		p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'] },
		t: { dialect: 'openai', base_url: `https://127.0.0.1:${provider.port}/v1`, models: ['t'], tls: { ca_file: certificates().caFile } },
	} });
	const [pid] = workers(d);
	const meter = await makeMeter(s, d);
	const before = seesDescriptors && descriptorCount(pid);
	for (const [model, kind] of [['m', 'reset'], ['t', 'tls']]) {
		await meter.mark();
		const client = await s.connect(d);
		await client.request({ path: CHAT, json: { model } });
		(await provider.accept()).reset();
		const got = await client.readReply();
		assert.equal(got.status, 502);
		client.reset();
		await meter.settles('closes_total', { 'client peer': 1, 'upstream failed': 1 });
		// It may come before the daemon has seen that it was connected.
		const [[error, n], ...others] = Object.entries(await meter.moved('upstream_errors_total'));
		assert.ok([kind, 'connect'].includes(error.split(' ')[1]) && n === 1 && others.length === 0, `${n} ${error}, ${others}`);
		assert.ok(!seesDescriptors || descriptorCount(pid) === before);
	}
	assert.deepEqual(workers(d), [pid]);
});
