// upstream: the way to a provider on the wire: kept connections and stale ones, time limits, bodies stored and streamed, replies that break
// the rules, TLS, names.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import net from 'node:net';
import tls from 'node:tls';
import { certificates, reply as replyBytes, streamHead, hasLocalhost } from '../lib/peer.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const OK = '{"id":"x","choices":[]}';
const BODY = '{"model":"m"}';
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], ...more });
const anthropic = (peer, more = {}) => ({ dialect: 'anthropic', base_url: peer.url, models: ['c'], ...more });
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n';
const sanitised = /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') || underValgrind;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A client with a request that has reached the provider.
async function asked(s, d, provider, options = {}) {
	const client = await s.connect(d);
	await client.request({ path: CHAT, body: BODY, ...options });
	return { client, ...(await provider.request()) };
}
// The whole reply to what the provider says on a fresh connection.
async function answered(s, d, provider, bytes, { end = 'end', ...options } = {}) {
	const { client, conn } = await asked(s, d, provider, options);
	for (const part of [bytes].flat())
		await conn.send(part);
	if (end)
		conn[end]();
	const reply = await client.readReply({ method: options.method });
	client.destroy();
	return reply;
}

// ---- kept connections

scenario('a connection is kept and used again, the newest first; no more than connections.idle', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider, { connections: { idle: 2 } }) } });
	const all = [];
	for (let n = 0; n < 4; n++)
		all.push(await asked(s, d, provider));
	for (const { conn, client } of all) {
		await conn.send(replyBytes({ body: OK }));
		assert.equal((await client.readReply()).text, OK);
	}
	await all[2].conn.closed();
	await all[3].conn.closed();
	assert.equal(provider.open.length, 2, 'two are kept');
	for (let n = 0; n < 3; n++) {
		const client = all[0].client;
		await client.request({ path: CHAT, body: BODY });
		assert.ok(await all[1].conn.readRequest(), 'the one that was used last');
		await all[1].conn.send(replyBytes({ body: OK }));
		assert.equal((await client.readReply()).status, 200);
	}
	assert.equal(provider.connections.length, 4);
});

scenario('an idle connection goes after connections.idle_timeout', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider, { connections: { idle_timeout: 0.5 } }) } });
	const { conn, client } = await asked(s, d, provider);
	await conn.send(replyBytes({ body: OK }));
	await client.readReply();
	assert.equal(await conn.closed(5000), 'end');
});

scenario('a connection that the provider closed while it was idle is not used', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	for (const how of ['end', 'reset', 'bytes']) {
		const first = await asked(s, d, provider);
		await first.conn.send(replyBytes({ body: OK }));
		await first.client.readReply();
		if (how === 'bytes')
			await first.conn.send('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n');
		else
			first.conn[how]();
		await later(50);
		const second = await asked(s, d, provider);
		await second.conn.send(replyBytes({ body: OK, headers: { Connection: 'close' } }));
		const reply = await second.client.readReply();
		assert.equal(reply.status, 200, how);
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).attempts, 1);
		assert.equal(first.conn.available, 0, 'nothing was sent on it');
	}
});

scenario('a kept connection that ends when the request comes: once more on a fresh one, and only once', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	for (const how of ['end', 'reset', 'destroy']) {
		const first = await asked(s, d, provider);
		await first.conn.send(replyBytes({ body: OK }));
		await first.client.readReply();

		await first.client.request({ path: CHAT, body: '{"model":"m","n":2}' });
		assert.equal((await first.conn.readRequest()).text, '{"model":"m","n":2}');
		first.conn[how]();
		const again = await provider.request();
		assert.equal(again.request.text, '{"model":"m","n":2}', how);
		await again.conn.send(replyBytes({ body: OK }));
		assert.equal((await first.client.readReply()).status, 200, how);

		await first.client.request({ path: CHAT, body: '{"model":"m","n":3}' });
		await again.conn.readRequest();
		again.conn[how]();
		const last = await provider.request();
		last.conn[how]();
		const reply = await first.client.readReply();
		assert.equal(reply.status, 502, how);
		assert.match(reply.json.error.message, /provider p: /);
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error');
	}
	assert.equal(provider.connections.length, 9, 'three each');
});

scenario('a kept connection that ends after a byte of the reply, and a new one that ends at once, are not tried again', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const first = await asked(s, d, provider);
	await first.conn.send(replyBytes({ body: OK }));
	await first.client.readReply();
	await first.client.request({ path: CHAT, body: BODY });
	await first.conn.readRequest();
	await first.conn.send('H');
	first.conn.end();
	const reply = await first.client.readReply();
	assert.equal(reply.status, 502);
	assert.match(reply.json.error.message, /cut short/);

	const fresh = await answered(s, d, provider, []);
	assert.equal(fresh.status, 502);
	assert.match(fresh.json.error.message, /closed the connection before it answered/);
	await later(50);
	assert.equal(provider.connections.length, 2);
});

// ---- time

scenario('no answer: 504 after first_byte, and not to be tried again', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider, { timeouts: { first_byte: 0.3 } }), a: anthropic(provider, { timeouts: { first_byte: 0.3 } }) } });
	for (const [path, body] of [[CHAT, BODY], ['/v1/messages', '{"model":"c"}']])
		for (const bytes of [[], 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 103 Early Hints\r\n\r\n', message('HTTP/1.1 200 OK', { 'Content-Length': 5 })]) {
			const { client, conn } = await asked(s, d, provider, { path, body });
			if (bytes.length)
				await conn.send(bytes);
			const reply = await client.readReply();
			assert.equal(reply.status, 504, `${path} ${bytes}`);
			assert.equal(reply.header('x-should-retry'), 'false');
			assert.match(reply.json.error.message, /timeouts\.first_byte/);
			await conn.closed();
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.deepEqual([line.end, line.status], ['timeout', 504]);
			client.destroy();
		}
});

scenario('a reply that falls silent is cut after idle; one that dawdles after total', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: {
		p: openai(provider, { timeouts: { idle: 0.3 } }),
		t: openai(provider, { models: ['t'], timeouts: { total: 0.6, idle: 0.4 } }),
	} });
	const silent = await answered(s, d, provider, message('HTTP/1.1 200 OK', { 'Content-Length': 100 }) + 'some', { end: null });
	assert.equal(silent.header('content-length'), '100');
	assert.equal(silent.cut, true);
	assert.equal(silent.text, 'some');
	assert.equal((await d.waitAccess(silent.header('x-request-id'))).end, 'timeout');

	const { client, conn } = await asked(s, d, provider, { body: '{"model":"t"}' });
	await conn.send(message('HTTP/1.1 200 OK', { 'Content-Length': 1000 }));
	let over = false;
	const reading = client.readReply().then((reply) => ((over = true), reply));
	const started = Date.now();
	while (!over) {
		await conn.send('.');
		await later(50);
	}
	assert.ok(Date.now() - started > 400);
	assert.equal((await reading).cut, true);
	await d.waitLog(/timeouts\.total/);

	const late = await asked(s, d, provider, { body: '{"model":"t"}' });
	const reply = await late.client.readReply();
	assert.equal(reply.status, 504);
	assert.match(reply.json.error.message, /timeouts\.total/);
});

scenario('a provider that nobody can connect to: 504 after connect; one that refuses: 502', async (s) => {
	const child = spawn(process.execPath, ['-e',
		'require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () { console.log(this.address().port); })'], { stdio: ['ignore', 'pipe', 'inherit'] });
	s.keep({ stop: () => child.kill('SIGKILL') });
	const port = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
	child.kill('SIGSTOP'); // it listens and accepts nothing; its queue is filled below
	await until(() => true);
	const fill = Array.from({ length: 6 }, () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {}));
	s.keep({ stop: () => fill.forEach((socket) => socket.destroy()) });
	await later(200);
	const closed = await s.peer();
	closed.close();
	const d = await s.daemon({ providers: {
		full: { dialect: 'openai', base_url: `http://127.0.0.1:${port}/v1`, models: ['full'], timeouts: { connect: 0.4 } },
		refused: openai(closed, { models: ['refused'] }),
	} });
	const started = Date.now();
	const full = await s.request(d, { path: CHAT, json: { model: 'full' } });
	assert.equal(full.status, 504, full.text);
	assert.match(full.json.error.message, /timeouts\.connect/);
	assert.equal(full.header('x-should-retry'), undefined, 'nothing had begun');
	assert.ok(Date.now() - started >= 300);
	const refused = await s.request(d, { path: CHAT, json: { model: 'refused' } });
	assert.equal(refused.status, 502);
	assert.equal(refused.json.error.message, 'provider refused: the connection failed (Connection refused)');
	const line = await d.waitAccess(refused.header('x-request-id'));
	assert.deepEqual([line.end, line.status, line.upstream_status, line.attempts], ['upstream_error', 502, null, 1]);
});

// ---- bodies

const MEGA = 1 << 20;
const large = (size, model = '"model":"m",', tail = '"}') => {
	const front = `{${model}"messages":[],"pad":"`;
	return Buffer.concat([Buffer.from(front), Buffer.alloc(size - front.length - tail.length, 'y'), Buffer.from(tail)]);
};
async function sendHead(client, length, fields = {}) {
	await client.send(message(`POST ${CHAT} HTTP/1.1`, { Host: 'x', 'Content-Type': 'application/json', 'Content-Length': length, ...fields }));
}

scenario('a large body is on its way to the provider while the client still has the rest; its last byte waits for the whole', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider, { models: [], model_map: [{ from: 'm', to: 'another-name' }] }) }, routes: [{ model: '*', provider: 'p' }] });
	const body = large(3 * MEGA);
	const expected = Buffer.from(body.toString().replace('"m"', '"another-name"'));
	const client = await s.connect(d);
	await sendHead(client, body.length);
	await client.send(body.subarray(0, 2 * MEGA));
	const conn = await provider.accept();
	const request = await conn.readHead();
	assert.equal(request.header('content-length'), String(expected.length), 'corrected by the change of the model');
	assert.equal(request.header('transfer-encoding'), undefined);
	const early = 2 * MEGA + expected.length - body.length;
	await conn.wait(() => conn.available >= early, 'what the client has sent so far');
	await client.send(body.subarray(2 * MEGA, body.length - 1));
	await conn.wait(() => conn.available >= expected.length - 1, 'all but the last byte');
	assert.ok(await conn.silent(50));
	assert.equal(conn.available, expected.length - 1);
	await client.send(body.subarray(body.length - 1));
	await request.finish();
	assert.ok(request.body.equals(expected));
	await conn.send(replyBytes({ body: OK }));
	const reply = await client.readReply();
	assert.equal(reply.text, OK);
	const line = await d.waitAccess(reply.header('x-request-id'));
	assert.equal(line.bytes_in, body.length);
});

scenario('the last byte is held back also when it comes with others, and the value of the end is seen in white space', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = Buffer.concat([large(MEGA + 100), Buffer.from(' \r\n')]);
	const client = await s.connect(d);
	await sendHead(client, body.length);
	await client.send(body.subarray(0, MEGA));
	const conn = await provider.accept();
	const request = await conn.readHead();
	await client.send(body.subarray(MEGA, body.length - 1));
	await conn.wait(() => conn.available >= body.length - 2, 'all but the end');
	await later(30);
	assert.equal(conn.available, body.length - 1, 'what is not the last byte of the message need not wait');
	await client.send(body.subarray(-1));
	await request.finish();
	assert.ok(request.body.equals(body));
});

scenario('a large body that turns out bad: 400, and the provider never has all of it', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	for (const [tail, code, pattern] of [
		[']', 'invalid_json', new RegExp(`at byte ${2 * MEGA - 1}`)],
		['"', 'invalid_json', /end/],
		['","model":"x"}', null, /`model` stands twice/],
		['","mod\\u0065l":"x"}', null, /`model` stands twice/],
		['","stream":true,"stream":true}', null, /`stream` stands twice/],
		['","stream":"yes"}', null, /`stream` must be/],
	]) {
		for (const cut of [1, 3, 5, 9]) { // the bad end in pieces
			const body = large(2 * MEGA, undefined, tail === ']' ? '"]' : tail);
			const client = await s.connect(d);
			await sendHead(client, body.length);
			await client.send(body.subarray(0, body.length - 20));
			const conn = await provider.accept();
			const request = await conn.readHead();
			await conn.wait(() => conn.available >= body.length - 20 - 70000, 'most of it');
			for (let at = body.length - 20; at < body.length; at += cut) {
				await client.send(body.subarray(at, at + cut));
				await later(1);
			}
			const reply = await client.readReply();
			assert.equal(reply.status, 400, `${tail}: ${reply.text}`);
			assert.match(reply.json.error.message, pattern);
			if (code)
				assert.equal(reply.json.error.code, code);
			await conn.closed();
			await request.finish();
			assert.equal(request.cut, true, 'the provider saw a cut');
			assert.ok(request.body.length < body.length);
			client.destroy();
		}
	}
});

scenario('a large body with its model last is stored and then sent; chunked ones are sent with their length', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = large(2 * MEGA, '', '","model":"m"}');
	const client = await s.connect(d);
	await sendHead(client, body.length);
	await client.send(body.subarray(0, body.length - 12));
	await later(100);
	assert.equal(provider.connections.length, 0, 'nothing before the model is there');
	await client.send(body.subarray(body.length - 12));
	const { conn, request } = await provider.request();
	assert.ok(request.body.equals(body));
	await conn.send(replyBytes({ body: OK }));
	assert.equal((await client.readReply()).status, 200);

	for (const [whole, chunked] of [[large(2 * MEGA), 100000], [Buffer.from(BODY), 1], [Buffer.from(BODY), true]]) {
		await client.request({ path: CHAT, body: whole, chunked });
		const got = await conn.readRequest();
		assert.equal(got.header('content-length'), String(whole.length));
		assert.equal(got.header('transfer-encoding'), undefined);
		assert.ok(got.body.equals(whole));
		await conn.send(replyBytes({ body: OK }));
		assert.equal((await client.readReply()).status, 200);
	}
});

scenario('a large body after 100-continue, the next request right behind it', async (s) => {
	const provider = await s.peer();
	provider.serve((request) => ({ body: `{"got":${request.body.length}}` }));
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = large(2 * MEGA);
	const client = await s.connect(d);
	await sendHead(client, body.length, { Expect: '100-continue' });
	assert.equal((await client.readUntil('\r\n\r\n')).toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
	await client.send(Buffer.concat([body, message(`POST ${CHAT} HTTP/1.1`, { Host: 'x' }, BODY), message('GET / HTTP/1.1', { Host: 'x' })]));
	assert.equal((await client.readReply()).text, `{"got":${body.length}}`);
	assert.equal((await client.readReply()).text, `{"got":${BODY.length}}`);
	assert.match((await client.readReply()).text, /^api-router /);
	assert.ok(provider.requests[0].body.equals(body));
});

scenario('a client that stops, or goes, in the middle of a large body: the provider sees a cut', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, timeouts: { body: 0.5 } });
	const body = large(3 * MEGA);
	for (const how of ['stops', 'end', 'reset']) {
		const client = await s.connect(d);
		await sendHead(client, body.length, { 'X-Request-Id': how });
		await client.send(body.subarray(0, 2 * MEGA));
		const conn = await provider.accept();
		const request = await conn.readHead();
		await conn.wait(() => conn.available >= 2 * MEGA, 'what was sent');
		if (how === 'stops') {
			const reply = await client.readReply();
			assert.equal(reply.status, 408);
			assert.match(reply.json.error.message, /timeouts\.body/);
		} else {
			client[how]();
		}
		await request.finish();
		assert.equal(request.cut, true, how);
		const line = await d.waitAccess(how);
		assert.equal(line.end, how === 'stops' ? 'refused' : 'client_gone', how);
		client.destroy();
	}
});

scenario('20 MB, while the provider reads slowly', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = large(20 * MEGA);
	const client = await s.connect(d);
	const before = d.pss();
	const sending = sendHead(client, body.length).then(() => client.send(body));
	const conn = await provider.accept();
	conn.pause();
	await later(300);
	if (!sanitised) // their memory is another
		assert.ok(d.pss() - before < 4 * MEGA, `memory stays flat: ${d.pss() - before}`);
	conn.resume();
	const request = await conn.readRequest({ ms: 20000 });
	await sending;
	assert.ok(request.body.equals(body));
	await conn.send(replyBytes({ body: OK }));
	assert.equal((await client.readReply()).status, 200);
});

scenario('a provider that answers before it has the whole body: relayed, then both are closed', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = large(8 * MEGA);
	const client = await s.connect(d);
	await sendHead(client, body.length);
	await client.send(body.subarray(0, 2 * MEGA));
	const conn = await provider.accept();
	await conn.readHead();
	await conn.send(replyBytes({ status: 413, reason: 'Too Large', body: '{"error":{"message":"too large"}}' }));
	const reply = await client.readReply();
	assert.equal(reply.status, 413);
	assert.equal(reply.text, '{"error":{"message":"too large"}}');
	assert.equal(reply.header('connection'), 'close');
	await conn.closed();
	assert.equal(await client.closed(), 'end');
	const line = await d.waitAccess(reply.header('x-request-id'));
	assert.deepEqual([line.status, line.upstream_status, line.end], [413, 413, 'complete']);

	// It closes at once, while the body is still being written.
	const rude = await s.connect(d);
	await sendHead(rude, body.length);
	await rude.send(body.subarray(0, 2 * MEGA));
	const other = await provider.accept();
	await other.readHead();
	await other.send(replyBytes({ status: 429, reason: 'No', headers: { 'Retry-After': 3 }, body: '{}' }));
	other.cut();
	rude.send(body.subarray(2 * MEGA));
	const refused = await rude.readReply();
	assert.equal(refused.status, 429);
	assert.equal(refused.header('retry-after'), '3');
});

// ---- replies

scenario('interim replies are skipped', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n';
	const whole = Buffer.concat([Buffer.from(interim), replyBytes({ body: OK, headers: { Connection: 'close' } })]);
	const ways = [[whole], [...whole].map((byte) => Buffer.of(byte))];
	for (let at = 1; at < whole.length; at += 17)
		ways.push([whole.subarray(0, at), whole.subarray(at)]);
	for (const parts of ways) {
		const reply = await answered(s, d, provider, parts);
		assert.equal(reply.status, 200);
		assert.equal(reply.text, OK);
		assert.deepEqual(reply.interim, []);
		assert.equal(reply.header('link'), undefined);
	}
});

scenario('replies that are no HTTP are a 502 that says so', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider, { connections: { idle: 0 } }) } });
	for (const bytes of [
		`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(MEGA)}\r\n\r\n`,
		'nonsense\r\n\r\n', 'HTTP/2 200\r\n\r\n', 'HTTP/1.1 20 OK\r\n\r\n', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2\r\n\r\n',
		'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok',
		'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 'HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 2\r\n\r\nok',
		'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok',
		`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(200)}\r\n`,
		message('HTTP/1.1 200 OK', { 'Transfer-Encoding': 'chunked' }) + 'zz\r\n', message('HTTP/1.1 200 OK', { 'Transfer-Encoding': 'chunked' }) + 'fffffffffffffffff\r\n',
	]) {
		const reply = await answered(s, d, provider, bytes, { end: null });
		assert.equal(reply.status, 502, String(bytes).slice(0, 60));
		assert.match(reply.json.error.message, /^provider p: its reply is not valid HTTP/, String(bytes).slice(0, 60));
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error');
		await provider.connections.at(-1).closed();
	}
});

scenario('a reply that is cut is visibly cut', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const chunked = message('HTTP/1.1 200 OK', { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' });
	for (const [name, parts, text] of [
		['short of its length', [message('HTTP/1.1 200 OK', { 'Content-Length': 10 }), 'abc'], 'abc'],
		['without its last chunk', [chunked, chunk('abc')], 'abc'],
		['in a chunk', [chunked, '9\r\nabc'], 'abc'],
		['in the trailer', [chunked, chunk('abc'), '0\r\nX: y\r\n'], 'abc'],
		['a bad chunk size', [chunked, chunk('abc'), 'xyz\r\n'], 'abc'],
		['no CRLF behind a chunk', [chunked, '3\r\nabcd\r\n'], 'abc'],
		['JSON to the close', [message('HTTP/1.1 200 OK', { 'Content-Type': 'application/json' }), '{"a":['], '{"a":['],
	])
		for (const end of ['end', 'reset']) {
			const { client, conn } = await asked(s, d, provider);
			for (const part of parts)
				await conn.send(part);
			const reply = await client.readHead();
			assert.equal(reply.status, 200, name);
			if (!/bad|CRLF/.test(name))
				await reply.until(text);
			conn[end]();
			await reply.finish();
			assert.equal(reply.cut, true, name);
			assert.equal(reply.text, text, name);
			assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error', name);
			client.destroy();
		}
});

scenario('replies without a body, with their connection kept; replies up to the close', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const { client, conn } = await asked(s, d, provider);
	await conn.send('HTTP/1.1 204 No Content\r\n\r\n');
	const none = await client.readReply();
	assert.equal(none.status, 204);
	assert.equal(none.header('content-length'), undefined);
	assert.equal(none.header('transfer-encoding'), undefined);
	await client.request({ path: CHAT, body: BODY });
	await conn.readRequest();
	await conn.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
	const empty = await client.readReply();
	assert.deepEqual([empty.status, empty.text, empty.header('content-length')], [200, '', '0']);
	await client.request({ path: CHAT, body: BODY });
	await conn.readRequest();
	await conn.send('HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"a":');
	await conn.send('1}');
	conn.end();
	const old = await client.readReply();
	assert.equal(old.framing, 'chunked');
	assert.equal(old.text, '{"a":1}');
	assert.equal(old.cut, false);
	// Where a body is announced that may not be, nothing that follows is trusted.
	const odd = await answered(s, d, provider, 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello', { end: null });
	assert.deepEqual([odd.status, odd.text], [204, '']);
	await provider.connections.at(-1).closed();
	await client.request({ path: CHAT, body: BODY });
	const last = await provider.request();
	await last.conn.send(replyBytes({ body: OK }) + 'and more');
	assert.equal((await client.readReply()).text, OK);
	await last.conn.closed();
});

scenario('replies come through the same wherever they are cut', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const client = await s.connect(d);
	const body = '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}';
	const forms = [replyBytes({ body }), Buffer.concat([message('HTTP/1.1 200 OK', { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }), chunk(body.slice(0, 9)), chunk(body.slice(9)), Buffer.from('0\r\nT: x\r\n\r\n')])];
	await client.request({ path: CHAT, body: BODY });
	const { conn } = await provider.request();
	for (const bytes of forms)
		for (let at = 1; at < bytes.length; at += 3) {
			await conn.send(bytes.subarray(0, at));
			await later(0);
			await conn.send(bytes.subarray(at));
			const reply = await client.readReply();
			assert.equal(reply.text, body);
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.deepEqual([line.input_tokens, line.output_tokens], [5, 6]);
			await client.request({ path: CHAT, body: BODY });
			await conn.readRequest();
		}
	await conn.send(replyBytes({ body }));
	await client.readReply();
	assert.equal(provider.connections.length, 1);
});

// ---- TLS

const secure = (provider, more = {}) => openai(provider, { tls: { ca_file: certificates().caFile }, ...more });

scenario('TLS: verified by ca_file, with the server\'s name; a failure is a 502 that says why', async (s) => {
	const provider = await s.peer({ tls: true });
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: {
		good: secure(provider, { models: ['good'] }),
		other: openai(provider, { models: ['other'], tls: { ca_file: certificates().other.caFile } }),
		system: openai(provider, { models: ['system'] }),
		name: openai(provider, { models: ['name'], tls: { ca_file: certificates().caFile, server_name: 'example.org' } }),
		address: { ...secure(provider, { models: ['address'] }), base_url: `https://127.0.0.1:${provider.port}/v1` },
		blind: openai(provider, { models: ['blind'], tls: { verify: false } }),
	} });
	for (const [model, sni] of [['good', 'localhost'], ['address', false], ['blind', 'localhost']]) {
		const reply = await s.request(d, { path: CHAT, json: { model } });
		assert.equal(reply.text, OK, model);
		const { socket } = provider.connections.at(-1);
		assert.equal(socket.servername, sni, model);
		assert.match(socket.getProtocol(), /^TLSv1\.[23]$/);
	}
	for (const [model, pattern] of [['other', /certificate|issuer/], ['system', /certificate|issuer/], ['name', /hostname|name/i]]) {
		const reply = await s.request(d, { path: CHAT, json: { model } });
		assert.equal(reply.status, 502, model);
		assert.match(reply.json.error.message, new RegExp(`^provider ${model}: the TLS handshake failed \\(.*(${pattern.source})`, 'i'));
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error');
	}
}, { skip: hasLocalhost ? false : 'this system does not know the name localhost' });

scenario('TLS: sessions are resumed, ALPN is http/1.1, a client certificate is shown', async (s) => {
	const { server, client, caFile } = certificates();
	const provider = await s.peer({ tls: {
		secureContext: tls.createSecureContext({ ...server, sessionIdContext: 'test' }), ALPNProtocols: ['h2', 'http/1.1'], requestCert: true, rejectUnauthorized: false,
	} });
	const seen = [];
	provider.serve((_, { socket }) => {
		seen.push([socket.isSessionReused(), socket.alpnProtocol, socket.getPeerCertificate().subject?.CN]);
		return { body: OK, headers: { Connection: 'close' } };
	});
	const d = await s.daemon({ providers: {
		p: secure(provider), q: secure(provider, { models: ['q'], tls: { ca_file: caFile, certificate_file: client.certFile, key_file: client.keyFile } }),
	} });
	for (let n = 0; n < 3; n++)
		assert.equal((await s.request(d, { path: CHAT, body: BODY })).text, OK);
	assert.deepEqual(seen, [[false, 'http/1.1', undefined], [true, 'http/1.1', undefined], [true, 'http/1.1', undefined]]);
	for (let n = 0; n < 2; n++)
		assert.equal((await s.request(d, { path: CHAT, json: { model: 'q' } })).text, OK);
	assert.deepEqual(seen.slice(3), [[false, 'http/1.1', 'client'], [true, 'http/1.1', 'client']]);
});

scenario('TLS: a session that the provider does not take any more fails one handshake and is forgotten', async (s) => {
	// Without a session context OpenSSL refuses to resume where it asks for certificates.
	const provider = await s.peer({ tls: { secureContext: tls.createSecureContext(certificates().server), requestCert: true, rejectUnauthorized: false } });
	provider.serve(() => ({ body: OK, headers: { Connection: 'close' } }));
	const d = await s.daemon({ providers: { p: secure(provider) } });
	const statuses = [];
	for (let n = 0; n < 3; n++)
		statuses.push((await s.request(d, { path: CHAT, body: BODY })).status);
	assert.deepEqual(statuses, [200, 502, 200]);
});

scenario('TLS: an end without close_notify is a cut, one with it an end', async (s) => {
	const provider = await s.peer({ tls: true });
	const d = await s.daemon({ providers: { p: secure(provider) } });
	const head = 'HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n';
	const stream = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';
	for (const [bytes, options] of [[`${head}sound`, {}], [stream + EVENT, { body: '{"model":"m","stream":true}' }]]) {
		const whole = await answered(s, d, provider, bytes, { end: 'end', ...options });
		assert.equal(whole.cut, false);
		const cut = await answered(s, d, provider, bytes, { end: 'cut', ...options });
		assert.equal(cut.cut, true);
		assert.equal((await d.waitAccess(cut.header('x-request-id'))).end, 'upstream_error');
	}
});

scenario('TLS: what is decrypted already is not left lying', async (s) => {
	const provider = await s.peer({ tls: true });
	const d = await s.daemon({ providers: { p: secure(provider, { connections: { idle: 0 } }) } });
	const events = Buffer.from(EVENT.replace('"a"', `"${'z'.repeat(700)}"`).replace('"stop"', 'null').repeat(400));
	const { client, conn } = await asked(s, d, provider, { body: '{"model":"m","stream":true}' });
	await conn.send(Buffer.concat([streamHead(), chunk(events)]));
	const reply = await client.readHead();
	while (reply.body.length < events.length)
		await reply.more(3000);
	assert.ok(reply.body.equals(events), 'all of it, while the connection stays open');
	await conn.send(Buffer.concat([chunk(EVENT), LAST_CHUNK]));
	await reply.finish();
	assert.equal(reply.done, true);
	const body = Buffer.alloc(3 * MEGA, 'q');
	provider.serve(() => ({ headers: { 'Content-Type': 'audio/mpeg' }, body }));
	const sound = await s.request(d, { path: '/v1/audio/speech', body: BODY });
	assert.ok(sound.body.equals(body));
});

scenario('TLS: a large request goes through, and a reply to a client that reads slowly', async (s) => {
	const provider = await s.peer({ tls: true });
	const body = Buffer.alloc(12 * MEGA, 'q');
	provider.serve(() => ({ headers: { 'Content-Type': 'audio/mpeg' }, body }));
	const d = await s.daemon({ providers: { p: secure(provider) } });
	const sent = large(3 * MEGA);
	const client = await s.connect(d);
	await client.request({ path: CHAT, body: sent });
	client.pause();
	await until(() => provider.requests.length === 1, 'the request has come');
	assert.ok(provider.requests[0].body.equals(sent));
	await later(300);
	client.resume();
	const reply = await client.readReply();
	assert.ok(reply.body.equals(body));
});

scenario('TLS: records that are not data on an idle connection do not make it stale', async (s) => {
	const { dir } = certificates();
	const server = spawn('openssl', ['s_server', '-accept', '127.0.0.1:0', '-cert', `${dir}/localhost.pem`, '-key', `${dir}/localhost.key`, '-crlf'], { stdio: 'pipe' });
	s.keep({ stop: () => server.kill('SIGKILL'), report: () => out });
	let out = '';
	server.stdout.on('data', (data) => (out += data));
	const port = Number(await until(() => out.match(/ACCEPT 127\.0\.0\.1:(\d+)/)?.[1], 'it listens'));
	const d = await s.daemon({ providers: { p: { ...openai({ url: `https://localhost:${port}` }), tls: { ca_file: certificates().caFile } } } });
	for (let n = 1; n <= 3; n++) {
		const client = await s.connect(d);
		await client.request({ path: CHAT, json: { model: 'm', n } });
		await until(() => out.includes(`"n":${n}}`), 'the request has come');
		server.stdin.write('HTTP/1.1 200 OK\nContent-Length: 4\n\nok\n');
		assert.equal((await client.readReply()).text, 'ok\r\n');
		server.stdin.write('k\n'); // a key update, as a session ticket a record that is no data
		await later(50);
	}
	assert.equal(out.match(/CIPHER is/g).length, 1, 'one connection');
}, { skip: hasLocalhost ? false : 'this system does not know the name localhost' });

// ---- names, credentials, limits

const addresses = hasLocalhost ? (await lookup('localhost', { all: true })).map((a) => a.address) : [];
for (const host of ['127.0.0.1', '::1'])
	scenario(`a name with several addresses: all are tried in turn (the provider listens on ${host} only)`, async (s) => {
		const provider = await s.peer({ host });
		provider.serve(() => ({ body: OK }));
		const d = await s.daemon({ providers: { p: { dialect: 'openai', base_url: `http://localhost:${provider.port}/v1`, models: ['m'] } } });
		const reply = await s.request(d, { path: CHAT, body: BODY });
		assert.equal(reply.status, 200, reply.text);
		assert.equal(provider.requests[0].header('host'), `localhost:${provider.port}`);
	}, { skip: addresses.includes(host) ? false : `localhost is not ${host} here` });

scenario('a host that does not exist is a 502 that says so', async (s) => {
	const d = await s.daemon({ providers: { p: { dialect: 'openai', base_url: 'http://no-such-host.invalid/v1', models: ['m'] } } });
	const reply = await s.request(d, { path: CHAT, body: BODY });
	assert.equal(reply.status, 502, reply.text);
	assert.match(reply.json.error.message, /^provider p: its host name could not be resolved \(.+\)$/);
});

scenario('a credential that the provider refuses, or that is not set', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ status: 401, reason: 'Unauthorized', body: '{"error":{"message":"bad sk-ours"}}' }));
	const d = s.command({ providers: {
		ours: openai(provider, { models: ['ours'], api_key: 'env:OUR_KEY' }), a: anthropic(provider, { api_key: 'env:OUR_KEY' }),
		unset: openai(provider, { models: ['unset'], api_key: 'env:UNSET_KEY' }), theirs: openai(provider, { models: ['theirs'] }),
	} }, { env: { OUR_KEY: 'sk-ours' } });
	await d.start();
	for (const [path, model, name, type] of [[CHAT, 'ours', 'OUR_KEY', 'server_error'], ['/v1/messages', 'c', 'OUR_KEY', 'api_error'], [CHAT, 'unset', 'UNSET_KEY', 'server_error']]) {
		for (const stream of [true, false]) {
			const reply = await s.request(d, { path, json: { model, stream } });
			assert.equal(reply.status, 502);
			assert.equal(reply.json.error.type, type);
			assert.match(reply.json.error.message, new RegExp(`\\b${name}\\b`));
			assert.equal(reply.header('x-should-retry'), 'false');
			assert.ok(!reply.text.includes('sk-'));
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.deepEqual([line.end, line.upstream_status], ['upstream_error', name === 'OUR_KEY' ? 401 : null]);
		}
	}
	const theirs = await s.request(d, { path: CHAT, json: { model: 'theirs' } });
	assert.deepEqual([theirs.status, theirs.text], [401, '{"error":{"message":"bad sk-ours"}}']);
});

scenario('connections.max: 503 with Retry-After; an idle connection makes room', async (s) => {
	const provider = await s.peer();
	const one = { connections: { max: 1 } };
	const d = await s.daemon({ providers: { p: openai(provider, one), a: anthropic(provider, one) } });
	const { client, conn } = await asked(s, d, provider);
	const full = await s.request(d, { path: CHAT, body: BODY });
	assert.equal(full.status, 503, full.text);
	assert.match(full.header('retry-after'), /^\d+$/);
	assert.match(full.json.error.message, /limit of connections/);
	const message1 = await s.connect(d);
	await message1.request({ path: '/v1/messages', body: '{"model":"c"}' });
	await provider.request();
	const anthropicFull = await s.request(d, { path: '/v1/messages', body: '{"model":"c"}' });
	assert.deepEqual([anthropicFull.status, anthropicFull.json.error.type], [529, 'overloaded_error']);
	await conn.send(replyBytes({ body: OK }));
	assert.equal((await client.readReply()).status, 200);
	// A body that streams needs a fresh connection; the idle one must not stand in its way.
	await client.request({ path: CHAT, body: large(2 * MEGA) });
	const next = await provider.request();
	await next.conn.send(replyBytes({ body: OK }));
	assert.equal((await client.readReply()).status, 200);
	await conn.closed();
});
