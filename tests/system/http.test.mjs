// http: the client side of HTTP/1.1 on the wire: connections kept and closed, requests in a row, what is refused and how, limits of time,
// connections and memory. What might be read in two ways stands in smuggling.test.mjs.

import assert from 'node:assert/strict';
import { reply as replyBytes } from '../lib/peer.mjs';
import { limit, scenario, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const MESSAGES = '/v1/messages';
const OK = '{"id":"x","choices":[]}';
const BODY = '{"model":"m"}';
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], ...more });
const anthropic = (peer, more = {}) => ({ dialect: 'anthropic', base_url: peer.url, models: ['c'], ...more });
const ECHO = { providers: { echo: { dialect: 'echo', models: ['m'] } } };
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const post = (path, fields, body) => message(`POST ${path} HTTP/1.1`, { Host: 'x', ...fields }, body);
const ask = (n) => post(CHAT, {}, JSON.stringify({ model: 'm', messages: [{ role: 'user', content: `say ${n}` }] }));
const said = (reply) => reply.json.choices[0].message.content;

function assertError(reply, path, status, pattern) {
	assert.equal(reply.status, status, reply.text);
	assert.match(reply.header('content-type'), /^application\/json/);
	assert.equal(reply.header('content-length'), String(reply.body.length));
	assert.match(reply.json.error.message, pattern);
	if (path.startsWith(MESSAGES)) {
		assert.equal(reply.json.type, 'error');
		assert.equal(reply.json.request_id, reply.header('request-id'));
	} else {
		assert.deepEqual(Object.keys(reply.json.error).sort(), ['code', 'message', 'param', 'type']);
	}
}
// What comes back for raw bytes: all replies that come within a moment of each other.
async function raw(s, d, bytes, { settle = 60 } = {}) {
	const client = await s.connect(d);
	await client.send(bytes);
	const replies = [];
	const end = Date.now() + limit(2000);
	for (;;) {
		await Promise.race([client.wait(() => client.available > 0, 'bytes', 3000).catch(() => {}), later(limit(replies.length ? settle : 1000))]);
		if (client.available === 0 || Date.now() > end)
			break;
		const reply = await client.readReply();
		if (!reply)
			break;
		replies.push(reply);
	}
	client.destroy();
	return { replies };
}

scenario('a connection is kept for one request after another, of all kinds', async (s) => {
	const provider = await s.peer();
	provider.serve((request) => ({ body: request.text }));
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	const client = await s.connect(d);
	for (let n = 0; n < 5; n++) {
		assert.equal((await client.exchange({ path: CHAT, body: `{"model":"m","n":${n}}` })).text, `{"model":"m","n":${n}}`);
		assert.equal((await client.exchange({ path: MESSAGES, body: `{"model":"c","n":${n}}`, chunked: 3 })).text, `{"model":"c","n":${n}}`);
		assert.equal((await client.exchange({ path: '/health' })).status, 200);
		assert.equal((await client.exchange({ path: '/nowhere' })).status, 404);
		assert.equal((await client.exchange({ path: CHAT, body: '{"model":' })).status, 400, 'bad JSON is no bad framing');
		assert.equal((await client.exchange({ path: CHAT, body: '{"model":"unknown"}' })).status, 404);
		assert.equal((await client.exchange({ path: CHAT, method: 'GET' })).status, 405);
	}
	assert.equal(client.ending, undefined);
});

scenario('requests in a row are answered in their order, however they are cut', async (s) => {
	const d = await s.daemon(ECHO);
	const two = Buffer.concat([ask(1), ask(2)]);
	for (let at = 1; at < two.length; at++) {
		const client = await s.connect(d);
		await client.send(two.subarray(0, at));
		await later(0);
		await client.send(two.subarray(at));
		assert.equal(said(await client.readReply()), 'say 1', `split at ${at}`);
		assert.equal(said(await client.readReply()), 'say 2', `split at ${at}`);
		client.destroy();
	}
	const client = await s.connect(d);
	const get = Buffer.from('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
	const all = Array.from({ length: 100 }, (_, n) => (n % 3 ? ask(n) : get));
	await client.send(Buffer.concat(all));
	for (let n = 0; n < 100; n++) {
		const reply = await client.readReply();
		if (n % 3)
			assert.equal(said(reply), `say ${n}`);
		else
			assert.equal(reply.json.status, 'ok');
	}
	await client.sendInPieces(Buffer.concat([ask(1), Buffer.from('\r\n'), ask(2)]), 1);
	assert.equal(said(await client.readReply()), 'say 1');
	assert.equal(said(await client.readReply()), 'say 2', 'one empty line before a request is skipped');
});

scenario('a request in a row waits for the reply before it; after Connection: close none is read', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const client = await s.connect(d);
	const n = (i, fields = {}) => post(CHAT, fields, `{"model":"m","n":${i}}`);
	await client.send(Buffer.concat([n(1), n(2, { Connection: 'close' }), n(3)]));
	const { conn, request } = await provider.request();
	assert.equal(request.text, '{"model":"m","n":1}');
	assert.ok(await conn.silent(50), 'the second waits');
	await conn.send(replyBytes({ body: OK }));
	assert.equal((await conn.readRequest()).text, '{"model":"m","n":2}');
	await conn.send(replyBytes({ body: OK }));
	assert.equal((await client.readReply()).header('connection'), undefined);
	assert.equal((await client.readReply()).header('connection'), 'close');
	assert.equal(await client.closed(), 'end');
	assert.ok(await conn.silent(50), 'the third is not asked');
	await (await s.connect(d)).exchange({ path: '/health', headers: { 'X-Request-Id': 'behind' } });
	await d.waitAccess('behind'); // lines come in order
	assert.deepEqual(d.access.map((l) => l.path), [CHAT, CHAT, '/health']);
});

scenario('Expect: 100-continue', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { body_bytes: 100000 } });
	for (const [fields, body] of [[{ 'Content-Length': BODY.length }, BODY], [{ 'Transfer-Encoding': 'chunked' }, Buffer.concat([chunk(BODY), LAST_CHUNK])]]) {
		const client = await s.connect(d);
		await client.send(post(CHAT, { Expect: '100-Continue', ...fields }));
		assert.equal((await client.readUntil('\r\n\r\n')).toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
		await client.send(body);
		const reply = await client.readReply();
		assert.equal(reply.text, OK);
		assert.equal(provider.requests.at(-1).header('expect'), undefined, 'it is never forwarded');
		assert.equal((await client.exchange({ path: CHAT, body: BODY })).status, 200, 'the connection is kept');
		client.destroy();
	}
	// Refused early: the final status at once, and a close, since the body may come or not.
	for (const [path, status, fields] of [[CHAT, 413, { 'Content-Length': 100001 }], ['/nowhere', 404, { 'Content-Length': 5 }], [MESSAGES, 415, { 'Content-Length': 5, 'Content-Encoding': 'gzip' }]]) {
		const client = await s.connect(d);
		await client.send(post(path, { Expect: '100-continue', ...fields }));
		const reply = await client.readReply();
		assert.deepEqual([reply.status, reply.interim.length, reply.header('connection')], [status, 0, 'close']);
		assert.equal(await client.closed(), 'end');
	}
	// Without a body, with the body in the same write, and from HTTP/1.0 nobody waits.
	for (const bytes of [
		message('GET / HTTP/1.1', { Host: 'x', Expect: '100-continue' }),
		post(CHAT, { Expect: '100-continue' }, BODY),
		message(`POST ${CHAT} HTTP/1.0`, { Host: 'x', Expect: '100-continue' }, BODY),
	]) {
		const { replies } = await raw(s, d, bytes);
		assert.deepEqual(replies.map((r) => [r.status, r.interim.length]), [[200, 0]]);
	}
});

scenario('HEAD has the head of GET and no body; OPTIONS says what is allowed', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	const client = await s.connect(d);
	for (const path of ['/', '/health', '/v1/models', '/v1/models/m', '/v1/models/none']) {
		const head = await client.exchange({ method: 'HEAD', path });
		const get = await client.exchange({ method: 'GET', path });
		assert.equal(head.status, get.status, path);
		assert.equal(head.header('content-length'), String(get.body.length), path);
		assert.equal(head.header('content-type'), get.header('content-type'), path);
	}
	for (const path of [CHAT, MESSAGES, '/nowhere'])
		assert.equal((await client.exchange({ method: 'HEAD', path })).status, path === '/nowhere' ? 404 : 405);
	for (const [path, allow] of [['/', 'GET, HEAD, OPTIONS'], [CHAT, 'POST, OPTIONS'], [MESSAGES, 'POST, OPTIONS'], ['*', /POST/]]) {
		const reply = await client.exchange({ method: 'OPTIONS', path });
		assert.equal(reply.status, 204, path);
		assert.match(reply.header('allow'), new RegExp(allow));
		assert.equal(reply.header('content-length'), undefined);
	}
	for (const path of [CHAT, MESSAGES]) {
		const reply = await client.exchange({ method: 'DELETE', path });
		assertError(reply, path, 405, /DELETE is not allowed/);
		assert.equal(reply.header('allow'), 'POST, OPTIONS');
	}
	assert.equal(client.ending, undefined, 'all on one connection');
});

scenario('Connection and versions: who is kept and who is closed', async (s) => {
	const d = await s.daemon(ECHO);
	for (const [version, connection, kept, answer] of [
		['HTTP/1.1', undefined, true, undefined], ['HTTP/1.1', 'keep-alive', true, undefined], ['HTTP/1.1', 'close', false, 'close'],
		['HTTP/1.1', 'CLOSE', false, 'close'], ['HTTP/1.1', 'x, Close ,y', false, 'close'], ['HTTP/1.1', ['x', 'close'], false, 'close'],
		['HTTP/1.1', 'keep-alive, close', false, 'close'], ['HTTP/1.1', 'closed', true, undefined],
		['HTTP/1.0', undefined, false, 'close'], ['HTTP/1.0', 'keep-alive', true, 'keep-alive'], ['HTTP/1.0', 'Keep-Alive, x', true, 'keep-alive'], ['HTTP/1.0', 'close', false, 'close'],
		['HTTP/1.2', undefined, true, undefined],
	]) {
		for (const request of [{ path: '/health' }, { path: CHAT, json: { model: 'm', messages: [{ role: 'user', content: 'a' }] } }]) {
			const client = await s.connect(d);
			const reply = await client.exchange({ ...request, version, headers: { Connection: connection } });
			assert.equal(reply.status, 200);
			assert.ok(reply.startLine.startsWith('HTTP/1.1 '));
			assert.equal(reply.header('connection'), answer, `${version} ${connection}`);
			if (kept)
				assert.equal((await client.exchange({ ...request, version })).status, 200, `${version} ${connection}`);
			else
				assert.equal(await client.closed(), 'end', `${version} ${connection}`);
			client.destroy();
		}
	}
});

scenario('absolute targets, escapes, doubled and trailing slashes', async (s) => {
	const d = await s.daemon(ECHO);
	const client = await s.connect(d);
	for (const [path, status] of [
		['http://x/health', 200], ['HTTPS://example.org:8443/health', 200], ['http://[::1]:80/health?a=b', 200], ['http://x', 200], ['http://x?q', 200],
		['//health', 200], ['/health/', 200], ['/%68ealth', 200], ['/v1//models/', 200], ['/health?x=/../', 200], ['/chat/completions', 404], ['/V1/models', 404], ['/v1%2Fmodels', 404],
	])
		assert.equal((await client.exchange({ path })).status, status, path);
});

// ---- refusals

const LONG = 'y'.repeat(40000);
scenario('what is refused: its status, its shape, and the close where the framing is in doubt', async (s) => {
	const d = await s.daemon({ ...ECHO, limits: { body_bytes: 2000, headers: 20 } });
	for (const path of [CHAT, MESSAGES]) {
		const start = `POST ${path} HTTP/1.1\r\nHost: x\r\n`;
		for (const [name, bytes, status, pattern, closes = true] of [
			['large head', `${start}X: ${LONG}\r\n\r\n`, 431, /limits\.header_bytes/],
			['many fields', `${start}${'X: y\r\n'.repeat(30)}\r\n`, 431, /limits\.headers/],
			['long target', `GET ${path}?${LONG} HTTP/1.1\r\nHost: x\r\n\r\n`, 414, /target is longer/],
			['long target without an end', `GET ${path}?${LONG}`, 414, /target is longer/],
			['large body', `${start}Content-Length: 2001\r\n\r\n`, 413, /limits\.body_bytes/],
			['huge body', `${start}Content-Length: 9223372036854775807\r\n\r\n`, 413, /limits\.body_bytes/],
			['large chunked body', `${start}Transfer-Encoding: chunked\r\n\r\n7d1\r\n${'1'.repeat(2001)}`, 413, /limits\.body_bytes/],
			['coded body', `${start}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx`, 415, /gzip/, null],
			['expectation', `${start}Expect: 200-ok\r\nContent-Length: 1\r\n\r\n`, 417, /100-continue/],
			['coding', `${start}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501, /chunked/],
			['version 2.0', `POST ${path} HTTP/2.0\r\nHost: x\r\n\r\n`, 505, /HTTP\/1\.1/],
			['no host', `POST ${path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`, 400, /Host/],
			['two hosts', `${start}Host: y\r\n\r\n`, 400, /Host/],
			['a bad host', `POST ${path} HTTP/1.1\r\nHost: a b\r\n\r\n`, 400, /Host/],
			['length and coding', `${start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, /stand together/],
			['two lengths', `${start}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 400, /Content-Length/],
			['a length with a sign', `${start}Content-Length: +5\r\n\r\nhello`, 400, /Content-Length/],
			['folded', `${start}X: a\r\n b\r\n\r\n`, 400, /folded/],
			['space before the colon', `${start}X : a\r\n\r\n`, 400, /field name/],
			['bare LF', `${start}X: a\n\r\n`, 400, /LF without CR/],
			['bare CR', `${start}X: a\rb\r\n\r\n`, 400, /CR stands/],
			['control', `${start}X: a\x01b\r\n\r\n`, 400, /control/],
			['NUL', `${start}X: a\x00b\r\n\r\n`, 400, /control/],
			['broken chunk', `${start}Transfer-Encoding: chunked\r\n\r\nxx\r\n`, 400, /framing of the body/],
			['dots in the path', `POST ${path}/../x HTTP/1.1\r\nHost: x\r\n\r\n`, 400, /target/],
			['not HTTP', 'hello\r\n\r\n', 400, /request line/],
			['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, /control/],
			['CONNECT', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n', 400, /target/],
			['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, /HTTP\/1\.1/],
		]) {
			const client = await s.connect(d);
			await client.send(Buffer.from(bytes, 'latin1'));
			const reply = await client.readReply();
			// A path that was never named is answered in OpenAI's shape.
			const named = !['not HTTP', 'a TLS greeting', 'CONNECT', 'the preface of HTTP/2'].includes(name);
			assertError(reply, named ? path : CHAT, status, pattern);
			if (closes) {
				assert.equal(reply.header('connection'), 'close', name);
				assert.equal(await client.closed(), 'end', name);
			}
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.deepEqual([line.status, line.end], [status, 'refused'], name);
			client.destroy();
		}
	}
});

scenario('an early refusal is not lost on a client that sends for seconds more before it reads', async (s) => {
	const d = await s.daemon({ providers: { echo: { dialect: 'echo', models: ['echo'] } } });
	const conn = await s.connect(d);
	conn.pause();
	await conn.send('POST /v1/nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n');
	for (let i = 0; i < 10; i++) { // longer than a fixed time of lingering would be
		await conn.send('x'.repeat(1000));
		await new Promise((resolve) => setTimeout(resolve, 400));
	}
	conn.resume();
	const reply = await conn.readReply();
	assert.equal(reply.status, 404);
	assert.equal(reply.cut, false);
	assert.equal(await conn.closed(), 'end');
});

scenario('chunked bodies with extensions and trailers', async (s) => {
	const provider = await s.peer();
	provider.serve((request) => ({ body: request.text }));
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const client = await s.connect(d);
	const head = post(CHAT, { 'Transfer-Encoding': 'chunked', Trailer: 'X-Sum' });
	for (const body of [
		`d;a=b;c="d e"\r\n${BODY}\r\n0;last\r\n\r\n`, `D\r\n${BODY}\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nContent-Length: 99\r\n\r\n`,
		`0000d \r\n${BODY}\r\n000\r\n\r\n`.replace(' ', ''), `7\r\n${BODY.slice(0, 7)}\r\n6;x\r\n${BODY.slice(7)}\r\n0\r\n\r\n`,
	])
		for (const pieces of [undefined, 1]) {
			const whole = Buffer.concat([head, Buffer.from(body)]);
			await (pieces ? client.sendInPieces(whole, pieces) : client.send(whole));
			const reply = await client.readReply();
			assert.equal(reply.text, BODY, body);
			const got = provider.requests.at(-1);
			assert.equal(got.header('content-length'), String(BODY.length));
			assert.deepEqual([got.header('trailer'), got.header('x-sum'), got.header('transfer-encoding')], [undefined, undefined, undefined]);
		}
	assert.equal(provider.connections.length, 1);
});

// ---- limits

scenario('slow heads and bodies are a 408, idle connections just end', async (s) => {
	const d = await s.daemon({ ...ECHO, timeouts: { head: 0.4, body: 0.4, keep_alive: 0.4 }, limits: { rate_bytes: 2000 } });
	const nothing = await s.connect(d);
	const head = await s.connect(d);
	const trickle = await s.connect(d);
	const messages = await s.connect(d);
	await messages.send(`POST ${MESSAGES} HTTP/1.1\r\n`);
	const idle = await s.connect(d);
	assert.equal((await idle.exchange({ path: '/' })).status, 200);
	await head.send('POST /v1/chat/comp');
	const trickling = (async () => {
		for (const byte of `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy`) {
			await trickle.send(byte);
			await later(30);
		}
	})();
	assert.equal(await nothing.closed(), 'end');
	assert.equal(nothing.total, 0, 'nobody has asked anything');
	assert.equal(await idle.closed(), 'end');
	for (const client of [head, trickle]) {
		const reply = await client.readReply();
		assertError(reply, CHAT, 408, /timeouts\.head/);
		assert.equal(reply.header('connection'), 'close');
	}
	assertError(await messages.readReply(), MESSAGES, 408, /timeouts\.head/);
	for (const path of [CHAT, MESSAGES]) {
		const silent = await s.connect(d);
		await silent.send(post(path, { 'Content-Length': 100 }));
		await silent.send('{"model"');
		assertError(await silent.readReply(), path, 408, /timeouts\.body/);
		assert.equal(await silent.closed(), 'end');
		const slow = await s.connect(d);
		await slow.send(post(path, { 'Content-Length': 100000 }));
		const sending = (async () => {
			for (let n = 0; n < 60 && !slow.total; n++) {
				await slow.send('   ');
				await later(30);
			}
		})();
		assertError(await slow.readReply(), path, 408, /limits\.rate_bytes/);
		await sending;
	}
	await trickling;
	const lines = () => d.access.filter((line) => line.status === 408);
	await until(() => lines().length === 7, 'each has its line');
	assert.ok(lines().every((line) => line.end === 'refused'));
});

scenario('limits.connections: the oldest unfinished head goes, then the oldest idle one, then 503', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { connections: 4 } });
	const busy = await s.connect(d);
	await busy.request({ path: CHAT, body: BODY });
	const held = await provider.request();
	const idle1 = await s.connect(d);
	await idle1.exchange({ path: '/' });
	const idle2 = await s.connect(d);
	await idle2.exchange({ path: '/' });
	const half = await s.connect(d);
	await half.send('GET / HT');
	await later(50);

	const next = await s.connect(d);
	assert.equal((await next.exchange({ path: '/' })).status, 200);
	await half.closed();
	const after = await s.connect(d);
	await after.request({ path: CHAT, body: BODY });
	await provider.request();
	await idle1.closed();
	const third = await s.connect(d);
	await third.request({ path: CHAT, body: BODY });
	await provider.request();
	await idle2.closed();
	const fourth = await s.connect(d);
	await fourth.request({ path: CHAT, body: BODY });
	await provider.request();
	await next.closed();

	const last = await s.connect(d);
	await last.request({ path: CHAT, body: BODY });
	const reply = await last.readReply();
	assertError(reply, CHAT, 503, /limits\.connections/);
	assert.match(reply.header('retry-after'), /^\d+$/);
	assert.equal(await last.closed(), 'end');
	await held.conn.send(replyBytes({ body: OK }));
	assert.equal((await busy.readReply()).status, 200, 'who is being served is not disturbed');
	const again = await s.connect(d);
	assert.equal((await again.exchange({ path: '/' })).status, 200, 'it is idle now and makes room');
	await busy.closed();
});

scenario('limits.connections: a slow body, a reply that is not taken and a last reply give way before who is idle or has just begun', async (s) => {
	const d = await s.daemon({ ...ECHO, limits: { connections: 4 }, timeouts: { send: 600 } });
	const idle = await s.connect(d);
	await idle.exchange({ path: '/' });
	const slow = await s.connect(d);
	await slow.send(post(CHAT, { 'Content-Length': 100 }));
	await slow.send('{');
	await later(150);
	const deaf = await s.connect(d);
	deaf.pause();
	await deaf.send('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2000)); // more than any socket takes
	await until(async () => {
		const { length } = d.stdout;
		await later(200);
		return d.stdout.length === length;
	}, 'its replies are not taken any more');
	const last = await s.connect(d);
	await last.send('GET / HTTP/1.0\r\n\r\n');
	assert.equal((await last.readReply()).status, 200);
	await later(1100);
	const begun = []; // each new one takes a place, and has but begun its head
	const next = async () => {
		begun.push(await s.connect(d));
		await begun.at(-1).send('GET / HTTP/1.1\r\nHost: x');
	};
	await next();
	const reply = await slow.readReply();
	assertError(reply, CHAT, 408, /limits\.connections.*limits\.rate_bytes/);
	assert.equal(await slow.closed(), 'end');
	assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'refused');
	await next();
	await next();
	for (const client of begun) {
		await client.send('\r\n\r\n');
		assert.equal((await client.readReply()).status, 200, 'who has just begun is served');
	}
	await deaf.closed();
	assert.equal(await last.closed(), 'end');
	assert.equal((await idle.exchange({ path: '/' })).status, 200, 'who is idle is kept');
	await until(async () => /closes_total\{side="client",reason="evicted"\} 2\n/.test((await idle.exchange({ path: '/metrics' })).text), 'the slow and the deaf one are counted');
}, { ms: 30000 });

scenario('3,000 idle connections, and others work', async (s) => {
	const d = await s.daemon({ ...ECHO, limits: { connections: 4000 } });
	const before = d.pss();
	const all = [];
	for (let n = 0; n < 3000; n += 250)
		all.push(...(await Promise.all(Array.from({ length: 250 }, () => s.connect(d)))));
	await Promise.all(all.filter((_, n) => n % 3 === 0).map((c) => c.exchange({ path: '/' })));
	const grown = (d.pss() - before) / all.length;
	const client = await s.connect(d);
	const started = Date.now();
	for (let n = 0; n < 50; n++)
		assert.equal((await client.exchange({ path: CHAT, json: { model: 'm', messages: [{ role: 'user', content: 'hi' }] } })).status, 200);
	assert.ok(Date.now() - started < limit(5000));
	assert.ok(all.every((c) => c.ending === undefined), 'none was sent away');
	assert.ok(grown < limit(3000), `${grown} bytes each`);
}, { ms: 60000 });

scenario('past limits.memory a request is a 503, and what is under way goes on', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) }, limits: { memory: 1 << 20 } });
	const calm = await s.connect(d);
	await calm.request({ path: CHAT, body: BODY });
	const held = await provider.request();
	for (const [path, status] of [[CHAT, 503], [MESSAGES, 529]]) {
		const client = await s.connect(d);
		const sending = client.request({ path, body: `{"pad":"${'y'.repeat(3 << 20)}","model":"m"}` });
		const reply = await client.readReply();
		assertError(reply, path, status, /limits\.memory/);
		assert.match(reply.header('retry-after'), /^\d+$/);
		client.destroy();
		await sending;
	}
	await held.conn.send(replyBytes({ body: OK }));
	assert.equal((await calm.readReply()).text, OK);
	assert.equal((await calm.exchange({ path: '/' })).status, 200);
});
