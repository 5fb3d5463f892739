// smuggling: what a client or a provider sends is read in one way only: nothing becomes two messages that is one, nothing behind
// an error is read, and the provider receives just what a second, strict reader (lib/strict.mjs) makes of the same bytes.

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { scenario, until } from '../lib/scenario.mjs';
import { strictly } from '../lib/strict.mjs';
import { ANSWER, CHAT, PROBE, PROBE_BODY, REPLIES, VECTORS, kept } from './smuggling-vectors.mjs';

const bytes = (text) => Buffer.from(text, 'latin1');
const openai = (peer) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'] });
const shown = (v) => `RFC ${v.section}, ${v.name}`;
// Bodies of requests that a provider would be asked for: as a strict reader sees the bytes.
const proxied = (text) => strictly(text).requests.filter((r) => r.method === 'POST').map((r) => r.body);

async function start(s, timeouts = {}) {
	const provider = await s.peer();
	provider.serve(() => ({ body: ANSWER }));
	const d = await s.daemon({ providers: { p: openai(provider) }, timeouts: { head: 20, body: 20, ...timeouts } });
	return { provider, d };
}
// Send `text` on a connection of its own and read until it ends: the statuses of all replies.
async function play(s, d, text, { honest = false, waits = false, send = (conn, all) => conn.send(all) } = {}) {
	const conn = await s.connect(d);
	if (honest)
		assert.equal((await conn.exchange({ path: CHAT, body: '{"model":"m","honest":1}' })).text, ANSWER);
	const { methods } = strictly(text);
	const sending = send(conn, bytes(text));
	const statuses = [];
	if (waits) {
		await sending;
		assert.ok(await conn.silent(50), 'nothing is answered');
	} else {
		for (let reply; (reply = await conn.readReply({ method: methods[statuses.length] }));) {
			// A broken head may have been one of HEAD: then its refusal has no body.
		assert.ok(!reply.cut || (reply.body.length === 0 && reply.status >= 400), `${JSON.stringify(text)} ${reply.head}`);
			statuses.push(reply.status);
		}
		assert.equal(conn.available, 0, 'bytes that belong to no reply');
	}
	conn.destroy();
	await sending;
	return statuses;
}
// What a provider gets is always written by the router: one length, no coding, its own name.
function assertForwarded(provider, request, name) {
	assert.match(request.startLine, /^POST \/v1\/(chat\/completions|audio\/transcriptions)(\?\S*)? HTTP\/1\.1$/, name);
	assert.deepEqual(request.headers('host'), [`127.0.0.1:${provider.port}`], name);
	assert.deepEqual(request.headers('content-length'), [String(request.body.length)], name);
	for (const field of ['transfer-encoding', 'connection', 'upgrade', 'expect', 'te', 'trailer', 'content-encoding', 'authorization'])
		assert.equal(request.header(field), undefined, `${name}: ${field}`);
}
// A field that Connection names was for the router alone (9110 7.6.1).
function assertHopByHop(request, from, name) {
	const named = from.fields.filter(([field]) => field === 'connection').flatMap(([, value]) => value.toLowerCase().split(/[ \t]*,[ \t]*/));
	for (const [field, value] of from.fields)
		if (named.includes(field) && !['content-length', 'content-type'].includes(field)) // which the router writes anew
			assert.ok(!request.headers(field).includes(value), `${name}: ${field}`);
}
const expected = ({ outcome }) => ({ replies: [...outcome.replies, ...(outcome.probe ? [200] : [])], bodies: [...outcome.bodies, ...(outcome.probe ? [PROBE_BODY] : [])] });

async function vectors(s, { provider, d }, how) {
	const wrong = [];
	for (const v of VECTORS) {
		const before = provider.requests.length;
		const waits = v.outcome.waits === true, want = waits ? { replies: [], bodies: [] } : expected(v);
		const name = `${shown(v)}\n${JSON.stringify(v.text.slice(0, 300))}`;
		const replies = await play(s, d, v.text + (waits ? '' : PROBE), { waits, ...how }).catch((error) => error.message);
		const got = provider.requests.slice(before).filter((r) => r.text !== '{"model":"m","honest":1}');
		const found = { replies, bodies: got.map((r) => r.body.toString('latin1')) };
		const early = how.send && isDeepStrictEqual(v.outcome, kept([400], [])); // a body is refused at its first wrong byte: the rest is not read
		if (!isDeepStrictEqual(found, want) && !(early && isDeepStrictEqual(found, v.outcome.probe && { replies: [400], bodies: [] })))
			wrong.push({ name, found, want });
		got.forEach((request) => assertForwarded(provider, request, name));
		for (const request of wrong.length > 0 ? [] : got)
			assertHopByHop(request, strictly(v.text + PROBE).requests.find((r) => r.body === request.body.toString('latin1')), name);
	}
	assert.deepEqual(wrong, []);
	await until(() => d.access.length >= VECTORS.length); // and nothing came late
	assert.ok(provider.connections.every((conn) => conn.available === 0), 'no byte that belongs to no request');
}

scenario('the table of vectors agrees with a strict reader', async () => {
	assert.ok(VECTORS.length >= 150, `${VECTORS.length} vectors`);
	assert.equal(new Set(VECTORS.map((v) => v.text)).size, VECTORS.length, 'no vector stands twice');
	for (const v of VECTORS) {
		const read = strictly(v.text + (v.outcome.waits ? '' : PROBE)), bodies = proxied(v.text + (v.outcome.waits ? '' : PROBE));
		if (v.outcome.waits) {
			assert.deepEqual([read.whole, bodies], [false, []], shown(v));
			continue;
		}
		let at = 0; // all that the provider gets is in the strict reading, in its order
		for (const body of expected(v).bodies) {
			at = bodies.indexOf(body, at) + 1;
			assert.ok(at > 0, `${shown(v)}: ${JSON.stringify(body)} is not in the strict reading`);
		}
		assert.equal(v.outcome.probe && !(read.whole && bodies.at(-1) === PROBE_BODY), false, `${shown(v)}: a strict reader does not reach the next request`);
		assert.ok(v.outcome.replies.length + v.outcome.probe <= read.requests.length + !read.whole, `${shown(v)}: more replies than requests`);
	}
	console.log(`| ${VECTORS.length} vectors from clients, of ${new Set(VECTORS.map((v) => v.section)).size} sections`);
});

scenario('each vector on a new connection', async (s) => vectors(s, await start(s), {}), { ms: 120000 });
scenario('each vector behind an honest request', async (s) => vectors(s, await start(s), { honest: true }), { ms: 120000 });
scenario('each vector with every byte a write of its own', async (s) => {
	const short = (conn, all) => (all.length < 2000 ? conn.sendInPieces(all, 1) : conn.sendInPieces(all, 997));
	await vectors(s, await start(s), { send: short });
}, { ms: 240000 });

scenario('a vector of each kind, cut in two at every byte', async (s) => {
	const { provider, d } = await start(s);
	const some = ['CL.TE: the length first', 'a length of 0 and a request in the place of a body', 'leading zeros', 'a CR behind', 'the coding "chunked, chunked"', 'no CRLF behind the data', 'a request in the place of trailers',
		'leading zeros, capitals, and extensions of all forms', 'trailers with a length, a coding and a host', 'a bare CR before another length', 'a good request, a bad one, a good one', 'three good requests',
		"CL.0: a request in the body of a path of the router's own", 'one empty line before the request'].map((name) => VECTORS.find((v) => v.name === name || v.name === `chunked with ${name}`));
	for (const v of some) {
		const text = v.text + PROBE, all = bytes(text), before = provider.requests.length, want = expected(v);
		const cuts = Array.from({ length: all.length - 1 }, (_, i) => i + 1);
		const worker = async () => {
			for (let at; (at = cuts.pop());)
				assert.deepEqual(await play(s, d, text, { send: (conn) => conn.sendInPieces(all, [at]) }), want.replies, `${shown(v)}, cut at ${at}`);
		};
		await Promise.all(Array.from({ length: 8 }, worker));
		const got = provider.requests.slice(before).map((r) => r.body.toString('latin1')).sort();
		assert.deepEqual(got, Array.from({ length: all.length - 1 }, () => want.bodies).flat().sort(), shown(v));
	}
}, { ms: 240000 });

// A few bytes of a vector changed, again and again: whatever comes of it, the provider gets nothing that a strict reader does not see,
// and nobody gets more replies than that reader sees requests.
scenario('vectors changed at random', async (s) => {
	const { provider, d } = await start(s, { head: 0.3, body: 0.3, keep_alive: 0.3 });
	let seed = Number(process.env.RANDOM_SEED ?? 1);
	const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
	const odd = [' ', '\t', '\r', '\n', '\r\n', '\0', '\x0b', ':', ',', ';', '0', '\x80', '\x7f', 'Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n', '-', '"'];
	const change = (text) => {
		const at = random(text.length), kind = random(4);
		if (kind === 0)
			return text.slice(0, at) + text.slice(at + 1 + random(3));
		if (kind === 1)
			return text.slice(0, at) + odd[random(odd.length)] + text.slice(at);
		if (kind === 2)
			return text.slice(0, at) + text.slice(at - random(20), at) + text.slice(at);
		return text.slice(0, at) + odd[random(odd.length)] + text.slice(at + 1);
	};
	const short = VECTORS.filter((v) => v.text.length < 1500);
	for (let batch = 0; batch < Number(process.env.RANDOM_BATCHES ?? 25); batch++) {
		const texts = Array.from({ length: 32 }, () => {
			let text = short[random(short.length)].text + PROBE;
			for (let n = 1 + random(3); n > 0; n--)
				text = change(text);
			return text;
		});
		const before = provider.requests.length;
		await Promise.all(texts.map(async (text) => {
			const read = strictly(text);
			const replies = await play(s, d, text);
			assert.ok(replies.length <= read.requests.length + !read.whole, `${replies} for ${JSON.stringify(text)}`);
		}));
		const allowed = texts.flatMap(proxied);
		for (const request of provider.requests.slice(before)) {
			const at = allowed.indexOf(request.body.toString('latin1'));
			assert.ok(at >= 0, `${request.body} came of one of ${JSON.stringify(texts)}`);
			allowed.splice(at, 1);
		}
	}
}, { ms: 240000 });

// ---- providers

// One row of REPLIES as the answer to a request, and an honest request behind it, on the same connection of the client while that
// is open: it gets its own answer and nothing of the row's.
async function playReply(s, d, provider, v, send) {
	const name = `${shown(v)}\n${JSON.stringify(v.text.slice(0, 300))}`, before = provider.connections.length;
	let sent; // all of the row: what comes when the next request is out already cannot be told from its reply
	provider.serve(async (request, conn) => {
		if (request.text.includes('honest'))
			return { body: `{"honest":${JSON.parse(request.text).honest}}` };
		await (sent = send(conn, bytes(v.text)));
		if (v.then === 'end')
			conn.cut();
	});
	let client = await s.connect(d);
	const got = await client.exchange({ path: CHAT, body: '{"model":"m"}' });
	const asked = provider.connections.at(-1);
	if (v.outcome.broken)
		assert.ok(got.cut || got.status === 502, `${name}: ${got.status} ${got.text}`);
	else
		assert.deepEqual([got.status, got.cut], [v.outcome.status, false], `${name}: ${got.text}`);
	if (v.outcome.text !== undefined)
		assert.equal(got.text, v.outcome.text, name);
	assert.equal(got.headers('content-length').length + got.headers('transfer-encoding').length, got.status === 204 ? 0 : 1, name);
	assert.ok(!/evil/.test(got.head), name);
	assert.equal(client.available, 0, name);
	await sent;
	if (v.then && v.then !== 'end') {
		await asked.send(bytes(v.then));
		assert.ok(await client.silent(20), `${name}: told to the client`);
	}
	if (got.cut || got.header('connection') === 'close') {
		await client.closed();
		assert.equal(client.available, 0, name);
		client = await s.connect(d);
	}
	for (const n of [1, 2]) {
		const honest = await client.exchange({ path: CHAT, body: `{"model":"m","honest":${n}}` });
		assert.deepEqual([honest.status, honest.text], [200, `{"honest":${n}}`], name);
	}
	const connections = provider.connections.length - before;
	assert.ok(connections <= 1 + (v.outcome.reused !== true), `${name}: ${connections} connections`);
	if (v.outcome.reused !== true)
		assert.notEqual(provider.connections.at(-1), asked, `${name}: the connection was used again`);
	client.destroy();
}
async function replies(s, send) {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	for (const v of REPLIES)
		await playReply(s, d, provider, v, send);
}

scenario('replies of a provider that are odd', async (s) => {
	await replies(s, (conn, all) => conn.send(all));
	console.log(`| ${REPLIES.length} vectors from providers`);
}, { ms: 120000 });
scenario('replies of a provider that are odd, with every byte a write of its own', async (s) =>
	replies(s, (conn, all) => conn.sendInPieces(all, all.length < 2000 ? 1 : 997)), { ms: 240000 });
