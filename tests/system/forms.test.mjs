// forms: multipart bodies through the daemon, from the real curl, undici and by hand: `model` is found and mapped wherever
// it stands and nothing else is touched; long ones stream with memory flat; broken ones never arrive whole.

import { File } from 'node:buffer'; // a global since Node 20 only
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BOUNDARY, FORM_TYPE, field, file, form, parseForm, partOf } from '../lib/form.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, message } from '../lib/wire.mjs';

const PATH = '/v1/audio/transcriptions';
const TYPE = { 'Content-Type': FORM_TYPE };
const OK = { text: 'hello' };
const MB = 1 << 20;
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], ...more });
const mapped = (peer) => openai(peer, { model_map: [{ from: 'long-name-of-a-model', to: 'x' }, { from: 's', to: 'a/much-longer name of a model' }] });
const anyModel = [{ model: '*', provider: 'p' }];

// Sanitizers and valgrind keep memory of their own.
const measures = !underValgrind && !/\bsan/.test(process.env.API_ROUTER_BUILD ?? '');
const peakOf = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'latin1').match(/^VmHWM:\s+(\d+) kB/m)[1]) * 1024;

// How much the worker's peak has grown since now; what is done once for all requests is done before.
async function memoryOf(s, d, model = 'm') {
	const reply = await s.request(d, { path: PATH, headers: { ...TYPE, Connection: 'close' }, body: form(field('model', model), file('file', randomBytes(200000))) });
	const { worker } = await d.waitAccess(reply.header('x-request-id'));
	const before = peakOf(worker);
	return () => peakOf(worker) - before;
}
function assertFlat(grown, most = 4 * MB) {
	if (measures)
		assert.ok(grown() < most, `the worker's peak grew by ${grown()} bytes`);
}
function isError(reply, status, says) {
	assert.equal(reply.status, status, reply.text);
	assert.equal(reply.header('content-type'), 'application/json');
	const { error } = reply.json;
	assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
	assert.match(error.message, says);
	return error;
}

// ---- what arrives

const SOUND = Buffer.concat([Buffer.from('RIFF\0\r\n--'), randomBytes(3000), Buffer.from(`\r\n--${BOUNDARY.slice(0, -1)}\r\n`)]);
// Forms with the name of the model as given.
const FORMS = {
	'model alone': (model) => form(field('model', model)),
	'model before the file': (model) => form(field('model', model), file('file', SOUND), field('prompt', 'one\r\ntwo')),
	'model behind the file': (model) => form(file('file', SOUND), field('response_format', 'text'), field('model', model)),
	'model between files': (model) => form(file('image[]', SOUND), field('model', model), file('image[]', Buffer.alloc(0))),
	'fields that look like it': (model) => form(field('models[]', 'a'), field('model2', 'b'), field('x"; y="model', 'c'),
		field('model', model), file('file', field('model', 'd')), field('prompt', 'name="model"')),
	'a preamble, an epilogue, blanks': (model) => Buffer.from(form(field('model', model), field('a', ''))
		.toString('latin1').replace(BOUNDARY, `${BOUNDARY} \t`).replace(/^/, 'pre\r\n').replace(/$/, 'epilogue\r\n'), 'latin1'),
};

scenario('forms arrive as they were sent but for the model, whatever its place and the cuts', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: mapped(provider) }, routes: anyModel });
	const c = await s.connect(d);
	for (const [name, make] of Object.entries(FORMS)) {
		for (const [model, target] of [['m', 'm'], ['s', 'a/much-longer name of a model'], ['long-name-of-a-model', 'x'], ['\u00e9t\u00e9', '\u00e9t\u00e9']]) {
			for (const how of [{}, { chunked: 100 }, { chunked: true }, { pieces: 61 }]) {
				const reply = await c.exchange({ path: PATH, headers: TYPE, body: make(model), ...how });
				assert.equal(reply.status, 200, `${name}: ${reply.text}`);
				const got = provider.requests.at(-1);
				assert.ok(got.body.equals(make(target)), `${name}, ${model}, ${JSON.stringify(how)}: ${got.text}`);
				assert.deepEqual(got.headers('content-length'), [String(make(target).length)]);
				assert.deepEqual(got.headers('content-type'), [FORM_TYPE]);
				assert.equal(reply.header('x-api-router-model'), Buffer.from(target).toString('latin1'));
			}
		}
	}
	assert.equal(provider.connections.length, 1, 'one kept connection served them all');
});

scenario('every path that takes forms, with its query', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: mapped(provider) }, routes: anyModel });
	for (const path of ['audio/transcriptions', 'audio/translations', 'images/edits', 'images/variations']) {
		const reply = await s.request(d, { path: `/v1/${path}?a=%2F&b`, headers: TYPE, body: FORMS['model between files']('s') });
		assert.equal(reply.status, 200, reply.text);
		const got = provider.requests.at(-1);
		assert.equal(got.startLine, `POST /v1/${path}?a=%2F&b HTTP/1.1`);
		assert.deepEqual(parseForm(got).map((p) => p.name), ['image[]', 'model', 'image[]']);
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.deepEqual([line.model, line.target_model, line.stream, line.bytes_in], ['s', 'a/much-longer name of a model', false, FORMS['model between files']('s').length]);
	}
});

scenario('curl -F', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ headers: { 'Content-Type': 'text/plain' }, body: 'hello\n' }));
	const d = await s.daemon({ providers: { p: mapped(provider) }, routes: anyModel });
	const dir = s.temporaryDirectory();
	for (const size of [0, 5000, 3 * MB]) {
		const sound = randomBytes(size);
		writeFileSync(join(dir, 'a b.wav'), sound);
		const parts = ['file=@a b.wav;type=audio/wav', 'model=s', 'prompt=<a b.txt'];
		writeFileSync(join(dir, 'a b.txt'), 'one\r\ntwo');
		for (const order of [parts, [parts[1], parts[0], parts[2]]]) {
			for (const more of [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect:']]) {
				const { stdout } = await promisify(execFile)('curl', ['-sS', '--fail-with-body', '--noproxy', '*', ...more, `${d.url}${PATH}`,
					...order.flatMap((part) => ['-F', part])], { cwd: dir });
				assert.equal(stdout, 'hello\n');
				const got = provider.requests.at(-1);
				assert.deepEqual(parseForm(got).map((p) => p.name), order.map((part) => part.split('=')[0]));
				assert.ok(partOf(got, 'file').equals(sound));
				assert.equal(partOf(got, 'model'), 'a/much-longer name of a model');
				assert.equal(partOf(got, 'prompt'), 'one\r\ntwo');
				assert.equal(got.header('expect'), undefined);
			}
		}
	}
});

scenario('FormData of undici', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: mapped(provider) }, routes: anyModel });
	for (const size of [1000, 3 * MB]) {
		const sound = randomBytes(size);
		for (const order of [['model', 'file'], ['file', 'model']]) {
			const data = new FormData();
			for (const name of order)
				data.append(name, name === 'model' ? 'long-name-of-a-model' : new File([sound], 'gr\u00fc\u00df "x".wav', { type: 'audio/wav' }));
			const reply = await fetch(`${d.url}${PATH}`, { method: 'POST', body: data });
			assert.deepEqual(await reply.json(), OK);
			const got = provider.requests.at(-1);
			assert.deepEqual(parseForm(got).map((p) => p.name), order);
			assert.ok(partOf(got, 'file').equals(sound));
			assert.equal(partOf(got, 'model'), 'x');
		}
	}
});

// ---- large ones

const sound25 = randomBytes(25 * MB);
const large = (model) => form(field('model', model), file('file', sound25));

scenario('25 MB behind the model stream on as they come, with memory flat', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: mapped(provider) }, routes: anyModel });
	provider.serve(() => ({ body: OK }));
	const grown = await memoryOf(s, d);
	const c = await s.connect(d);
	const body = large('s');
	await c.send(message(`POST ${PATH} HTTP/1.1`, { Host: 'a', ...TYPE, 'Content-Length': body.length }));
	await c.send(body.subarray(0, 2 * MB));
	const conn = await until(() => provider.open.find((o) => o.total > MB), 'the provider has the beginning');
	await c.send(body.subarray(2 * MB));
	const reply = await c.readReply({ ms: 30000 });
	assert.equal(reply.status, 200, reply.text);
	assert.ok(provider.requests.at(-1).body.equals(large('a/much-longer name of a model')));
	assertFlat(grown);
	const line = await d.waitAccess(reply.header('x-request-id'));
	assert.deepEqual([line.end, line.bytes_in, line.attempts], ['complete', body.length, 1]);
	assert.ok(conn.total > body.length);
	assert.equal((await c.exchange({ path: '/health' })).status, 200, 'the connection goes on');
});

scenario('25 MB before the model, and in chunks, are stored', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: mapped(provider) }, routes: anyModel });
	const behind = (model) => form(file('file', sound25), field('model', model));
	for (const [make, how] of [[behind, {}], [behind, { chunked: 65536 }], [large, { chunked: 65536 }]]) {
		const reply = await s.request(d, { path: PATH, headers: { ...TYPE, Connection: 'close' }, body: make('s'), ...how, ms: 30000 });
		assert.equal(reply.status, 200, reply.text);
		assert.ok(provider.requests.at(-1).body.equals(make('a/much-longer name of a model')));
	}
});

scenario('limits.body_bytes bounds them all', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { body_bytes: 2 * MB } });
	const sound = sound25.subarray(0, 2 * MB);
	for (const body of [form(field('model', 'm'), file('file', sound)), form(file('file', sound), field('model', 'm'))]) {
		for (const how of [{}, { chunked: 10000 }]) {
			const reply = await s.request(d, { path: PATH, headers: { ...TYPE, Connection: 'close' }, body, ...how });
			isError(reply, 413, /limits\.body_bytes/);
		}
	}
	assert.equal(provider.connections.length, 0);
	provider.serve(() => ({ body: OK }));
	const least = form(field('model', 'm'), file('file', '')).length;
	const fits = form(file('file', sound.subarray(least)), field('model', 'm'));
	assert.equal(fits.length, 2 * MB);
	for (const how of [{}, { chunked: 10000 }])
		assert.equal((await s.request(d, { path: PATH, headers: { ...TYPE, Connection: 'close' }, body: fits, ...how })).status, 200);
});

scenario('a slow provider makes the client wait', async (s) => {
	const quick = await s.peer();
	const slow = await s.peer();
	const d = await s.daemon({ providers: { quick: openai(quick, { models: ['q'] }), slow: openai(slow) }, limits: { body_bytes: 100 * MB } });
	quick.serve(() => ({ body: OK }));
	const grown = await memoryOf(s, d, 'q');
	const data = Buffer.concat([sound25, sound25]); // more than all buffers of the system together
	const body = form(field('model', 'm'), file('file', data));
	const c = await s.connect(d);
	let sent = false;
	c.request({ path: PATH, headers: TYPE, body }).then(() => (sent = true));
	const conn = await slow.accept();
	conn.pause();
	let last = -1;
	await until(async () => {
		const before = last;
		await new Promise((resolve) => setTimeout(resolve, 200));
		last = c.socket.bytesWritten;
		return before === last && last > 0;
	}, 'nothing moves any more');
	assert.equal(sent, false);
	assertFlat(grown);
	conn.resume();
	const request = await conn.readRequest({ ms: 60000 });
	assert.ok(request.body.equals(body));
	assertFlat(grown);
	await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'text/plain' }, 'done'));
	assert.equal((await c.readReply()).text, 'done');
});

// ---- what goes wrong on the way

// A request whose body streams, up to `split` bytes before its end, and the provider's connection.
async function streaming(s, d, provider, { body, split, length = body.length }) {
	const c = await s.connect(d);
	await c.send(message(`POST ${PATH} HTTP/1.1`, { Host: 'a', ...TYPE, 'Content-Length': length }));
	await c.send(body.subarray(0, body.length - split));
	return { c, conn: await provider.accept() };
}

scenario('a form that breaks on the way never arrives whole', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const good = form(field('model', 'm'), file('file', sound25.subarray(0, 2 * MB)));
	const end = `\r\n--${BOUNDARY}--\r\n`.length;
	const head = good.subarray(0, good.length - end);
	const back = (text) => Buffer.concat([head, Buffer.from(text)]);
	for (const [what, body, says] of [
		['no closing boundary', back('\r\n'.padEnd(end, 'x')), /the closing boundary is missing/],
		['a closing boundary that is cut', good.subarray(0, good.length - 3), /the closing boundary is missing/],
		['a bad head', back(`\r\n--${BOUNDARY}\r\nX y\r\n\r\n\r\n--${BOUNDARY}--\r\n`), /is no field/],
		['a second model', back(`\r\n--${BOUNDARY}\r\n${field('model', 'other')}\r\n--${BOUNDARY}--\r\n`), /`model` stands twice/],
		['a second form', Buffer.concat([good, form(field('model', 'other'))]), /behind the closing one/],
	]) {
		const { c, conn } = await streaming(s, d, provider, { body, split: 200 });
		await c.send(body.subarray(body.length - 200));
		const reply = await c.readReply();
		const error = isError(reply, 400, says);
		assert.equal(error.type, 'invalid_request_error', what);
		const request = await conn.readRequest();
		assert.equal(request.cut, true, `${what}: the provider saw no end`);
		assert.ok(request.body.length < body.length, what);
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.deepEqual([line.status, line.end], [400, 'refused'], what);
	}
});

scenario('a client that goes away in the middle', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = form(field('model', 'm'), file('file', sound25.subarray(0, 4 * MB)));
	for (const how of ['end', 'reset']) {
		for (const reads of [true, false]) {
			const n = d.access.length;
			const { c, conn } = await streaming(s, d, provider, { body, split: 2 * MB });
			if (!reads)
				conn.pause();
			c[how]();
			conn.resume();
			assert.equal((await conn.readRequest()).cut, true);
			const line = await until(() => d.access[n], 'the line is written');
			assert.deepEqual([line.end, line.provider, line.status], ['client_gone', 'p', null]);
		}
	}
	assert.equal((await s.request(d, { path: '/health' })).status, 200);
});

scenario('a provider that answers early, or goes', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = form(field('model', 'm'), file('file', sound25.subarray(0, 4 * MB)));
	const text = '{"error":{"message":"no such voice","type":"invalid_request_error","param":"file","code":null}}';
	for (const status of [400, 413, 429]) {
		const { c, conn } = await streaming(s, d, provider, { body, split: 2 * MB });
		await conn.send(message(`HTTP/1.1 ${status} No`, { 'Content-Type': 'application/json', 'X-Why': 'early' }, text));
		const reply = await c.readReply();
		assert.deepEqual([reply.status, reply.text, reply.header('x-why'), reply.header('connection')], [status, text, 'early', 'close']);
		await conn.closed();
		c.destroy();
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.deepEqual([line.status, line.upstream_status, line.end], [status, status, 'complete']);
	}
	for (const how of ['cut', 'reset']) {
		const { c, conn } = await streaming(s, d, provider, { body, split: 2 * MB });
		conn[how]();
		const reply = await c.readReply();
		isError(reply, 502, /provider p/);
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error');
		c.destroy();
	}
	// while the provider takes nothing, and so nothing is read from the client
	{
		const big = form(field('model', 'm'), file('file', sound25));
		const { c, conn } = await streaming(s, d, provider, { body: big.subarray(0, 100000), split: 0, length: big.length });
		conn.pause();
		c.send(big.subarray(100000));
		await conn.send(message('HTTP/1.1 413 No', { 'Content-Type': 'application/json' }, text));
		const reply = await c.readReply();
		assert.deepEqual([reply.status, reply.text], [413, text]);
		c.destroy();
		conn.destroy();
	}
	// an early answer while the rest still comes, to a client that sends it all before it reads
	const { c, conn } = await streaming(s, d, provider, { body, split: 2 * MB });
	await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }));
	await conn.send(chunk('{"text":'));
	await c.send(body.subarray(body.length - 2 * MB));
	assert.ok((await conn.readRequest()).body.equals(body));
	await conn.send(Buffer.concat([chunk('"all"}'), LAST_CHUNK]));
	assert.deepEqual((await c.readReply()).json, { text: 'all' });
	provider.close();
	isError(await s.request(d, { path: PATH, headers: { ...TYPE, Connection: 'close' }, body }), 502, /provider p/);
});

scenario('100-continue, and what is pipelined behind a form', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: openai(provider) }, limits: { body_bytes: 4 * MB } });
	const body = form(field('model', 'm'), file('file', sound25.subarray(0, 2 * MB)));
	const head = (length, type = TYPE) => message(`POST ${PATH} HTTP/1.1`, { Host: 'a', ...type, Expect: '100-continue', 'Content-Length': length });
	const c = await s.connect(d);
	await c.send(head(body.length));
	assert.equal((await c.readHead()).status, 100);
	await c.send(Buffer.concat([body, message('GET /v1/models/m HTTP/1.1', { Host: 'a' }), message('GET /health HTTP/1.1', { Host: 'a' })]));
	assert.deepEqual((await c.readReply()).json, OK);
	assert.equal((await c.readReply()).json.id, 'm');
	assert.equal((await c.readReply()).json.status, 'ok');
	assert.ok(provider.requests[0].body.equals(body));
	for (const [bytes, status] of [[head(5 * MB), 413], [head(10, { 'Content-Type': 'text/plain' }), 400]]) {
		const other = await s.connect(d);
		await other.send(bytes);
		const reply = await other.readReply();
		assert.deepEqual([reply.status, reply.interim.length], [status, 0]);
	}
});

scenario('what is refused, in OpenAI\'s shape, before anything goes upstream', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), echo: { dialect: 'echo', models: ['echo'] } } });
	const ask = (body, type = FORM_TYPE, more = {}) =>
		s.request(d, { path: PATH, headers: { 'Content-Type': type, Connection: 'close', ...more }, body });
	for (const [body, says, param = null] of [
		['', /closing boundary/],
		[form(), /no field `model`/, 'model'],
		[form(file('file', 'x')), /no field `model`/, 'model'],
		[form(file('model', 'm')), /not a file/, 'model'],
		[form(field('model', 'm'), field('model', 'm')), /stands twice/, 'model'],
		[form(field('model', 'bQ==', ['Content-Transfer-Encoding: base64'])), /Content-Transfer-Encoding/, 'model'],
		[form(field('model', 'm\r\nX: y')), /without control characters/, 'model'],
		[form(field('model', `m--${BOUNDARY}`)), /name of a model/, 'model'],
		[form(field('model', 'm'.repeat(2000))), /longer/, 'model'],
		[form(field('model', 'm'), field('=?utf-8?q?model?=', 'x')), /encoded word/],
		[form(field('model', 'm'), field('Model', 'x')), /a field `Model`/, 'model'],
		[form(field('model', 'echo')), /echo/, 'model'],
		['{"model":"m"}', /closing boundary/],
	])
		assert.equal(isError(await ask(body), 400, says).param, param, String(says));
	for (const type of ['application/json', 'multipart/mixed; boundary=a', 'multipart/form-data', 'multipart/form-data; boundary="a\\"b"'])
		isError(await ask(form(field('model', 'm')), type), 400, /multipart\/form-data; boundary=/);
	assert.equal(isError(await ask(form(field('model', 'nobody'))), 404, /nobody/).code, 'model_not_found');
	isError(await ask('x', FORM_TYPE, { 'Content-Encoding': 'gzip' }), 415, /gzip/);
	isError(await s.request(d, { method: 'POST', path: PATH, headers: { ...TYPE, Connection: 'close' } }), 411, /Content-Length/);
	const other = await s.request(d, { method: 'GET', path: PATH });
	isError(other, 405, /POST/);
	assert.equal(other.header('allow'), 'POST, OPTIONS');
	assert.equal(provider.connections.length, 0);
});

// ---- what comes back

const speak = { path: '/v1/audio/speech', json: { model: 'm', input: 'x', voice: 'v' } };

scenario('speech comes back byte for byte, as it comes', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const sound = sound25.subarray(0, 5 * MB);
	for (const type of ['audio/mpeg', 'audio/opus', 'audio/aac', 'audio/flac', 'audio/wav', 'audio/pcm;rate=24000', 'application/octet-stream', undefined]) {
		for (const framing of ['length', 'chunked', 'close']) {
			const c = await s.connect(d);
			await c.request(speak);
			const { conn } = await provider.request();
			const how = { length: { 'Content-Length': sound.length }, chunked: { 'Transfer-Encoding': 'chunked' }, close: { Connection: 'close' } }[framing];
			const send = (data) => conn.send(framing === 'chunked' ? chunk(data) : data);
			await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': type, 'X-Voice': 'v', ...how }));
			await send(sound.subarray(0, 1000));
			const reply = await c.readHead();
			while (reply.body.length < 1000)
				await reply.more(); // before the provider has sent the rest
			await send(sound.subarray(1000, 3 * MB));
			await send(sound.subarray(3 * MB));
			if (framing === 'chunked')
				await conn.send(LAST_CHUNK);
			if (framing === 'close')
				conn.end();
			await reply.finish(20000);
			assert.equal(reply.header('content-type'), type);
			assert.equal(reply.header('x-voice'), 'v');
			assert.equal(reply.framing, framing === 'length' ? 'length' : 'chunked');
			assert.ok(reply.body.equals(sound) && !reply.cut, `${type}, ${framing}`);
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.deepEqual([line.end, line.bytes_out, line.stream, line.usage], ['complete', sound.length, false, 'none']);
			conn.destroy();
			c.destroy();
		}
	}
	// one that is cut looks cut
	for (const how of [{ 'Content-Length': 5000 }, { 'Transfer-Encoding': 'chunked' }]) {
		const c = await s.connect(d);
		await c.request(speak);
		const { conn } = await provider.request();
		await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'audio/mpeg', ...how }));
		await conn.send('Content-Length' in how ? sound.subarray(0, 1000) : chunk(sound.subarray(0, 1000)));
		conn.cut();
		const reply = await c.readReply();
		assert.ok(reply.cut && reply.body.equals(sound.subarray(0, 1000)));
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error');
	}
});

scenario('speech to a client that does not read waits at the provider', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: {
		p: openai(provider),
		q: openai(provider, { models: ['q'], endpoints: [{ path: '/v1/audio/speech', stream: { buffer_bytes: 16 * MB } }] }),
	} });
	provider.serve(() => ({ body: OK }));
	const grown = await memoryOf(s, d);
	const sound = Buffer.concat([sound25, sound25, sound25]); // more than all buffers of the system together
	provider.serve(async (request, conn) => {
		await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'audio/wav', 'Content-Length': sound.length }));
		conn.send(sound);
	});
	const stalled = async (model) => {
		const c = await s.connect(d);
		c.pause();
		await c.request({ ...speak, json: { ...speak.json, model } });
		const conn = await until(() => provider.connections.find((o) => o.socket.writableLength > 0 && !o.ending), 'the provider sends');
		let last = -1;
		await until(async () => {
			const before = last;
			await new Promise((resolve) => setTimeout(resolve, 200));
			last = conn.socket.bytesWritten;
			return before === last;
		}, 'nothing moves any more');
		assert.ok(conn.socket.writableLength > 0);
		return { c, conn };
	};
	const { c, conn } = await stalled('m');
	assertFlat(grown);
	c.resume();
	const reply = await c.readReply({ ms: 60000 });
	assert.ok(reply.body.equals(sound));
	assertFlat(grown);
	conn.destroy();
	await stalled('q');
	if (measures)
		assert.ok(grown() > 15 * MB, 'the endpoint\'s own stream.buffer_bytes was taken');
});

const transcript = [
	'data: {"type":"transcript.text.delta","delta":"hel"}\n\n',
	'data: {"type":"transcript.text.delta","delta":"lo"}\n\n',
	'data: {"type":"transcript.text.done","text":"hello","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":45,"total_tokens":59}}\n\n',
	'data: [DONE]\n\n',
];

scenario('transcriptions come back in every format', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const usage = { type: 'tokens', input_tokens: 14, input_token_details: { text_tokens: 0, audio_tokens: 14 }, output_tokens: 45, total_tokens: 59 };
	for (const [format, type, body, tokens] of [
		['text', 'text/plain; charset=utf-8', 'hello\n'],
		['srt', 'text/plain', '1\n00:00:00,000 --> 00:00:01,000\nhello\n\n'],
		['vtt', 'text/vtt', 'WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n'],
		['json', 'application/json', ` {"text" : "h\\u00e9llo", "usage":${JSON.stringify(usage)}}\n`, [14, 45]],
		['verbose_json', 'application/json', '{"text":"hello","duration":8.470000267028809,"usage":{"type":"duration","seconds":9}}'],
	]) {
		provider.serve(() => ({ headers: { 'Content-Type': type }, body }));
		const reply = await s.request(d, { path: PATH, headers: TYPE, body: form(file('file', SOUND), field('model', 'm'), field('response_format', format)) });
		assert.deepEqual([reply.status, reply.text, reply.header('content-type')], [200, body, type]);
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.deepEqual([line.input_tokens, line.output_tokens, line.usage], tokens ? [...tokens, 'provider'] : [null, null, 'none'], format);
		assert.deepEqual([line.stream, line.bytes_out, line.end, line.path], [false, Buffer.byteLength(body), 'complete', PATH]);
	}
});

scenario('a transcription and speech as event streams', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const speech = ['data: {"type":"speech.audio.delta","audio":"UklGRg=="}\n\n',
		'data: {"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":45,"total_tokens":59}}\n\n'];
	for (const [request, events, stream] of [
		[{ path: PATH, headers: TYPE, body: form(field('stream', 'true'), field('model', 'm'), file('file', SOUND)) }, transcript, true],
		[{ path: PATH, headers: TYPE, body: form(field('model', 'm'), file('file', SOUND), field('stream', 'true')) }, transcript.slice(0, 3), true],
		[{ path: PATH, headers: TYPE, body: form(field('model', 'm'), file('file', sound25.subarray(0, 2 * MB)), field('stream', 'true')) }, transcript, true],
		[{ ...speak, json: { ...speak.json, stream_format: 'sse' } }, speech, false],
	]) {
		const c = await s.connect(d);
		await c.request(request);
		const { conn } = await provider.request();
		await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'text/event-stream', 'Transfer-Encoding': 'chunked', Connection: 'close' }));
		let reply;
		for (const event of events) {
			await conn.send(chunk(event));
			reply ??= await c.readHead();
			assert.equal((await reply.event()).raw, event.trimEnd());
		}
		await conn.send(LAST_CHUNK);
		await reply.finish();
		assert.deepEqual([reply.text, reply.cut], [events.join(''), false]);
		assert.deepEqual([reply.header('content-type'), reply.header('cache-control'), reply.header('x-accel-buffering')], ['text/event-stream', 'no-cache', 'no']);
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.deepEqual([line.stream, line.input_tokens, line.output_tokens, line.usage, line.bytes_out, line.end],
			[stream, 14, 45, 'provider', events.join('').length, 'complete']);
	}
	// one that the provider cuts ends with the error event
	const c = await s.connect(d);
	await c.request({ path: PATH, headers: TYPE, body: form(field('stream', 'true'), field('model', 'm')) });
	const { conn } = await provider.request();
	await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'text/event-stream', 'Transfer-Encoding': 'chunked', Connection: 'close' }));
	await conn.send(chunk(transcript[0]));
	conn.cut();
	const reply = await c.readReply();
	assert.equal(reply.cut, true);
	assert.equal(JSON.parse(reply.events.at(-1).data).error.code, 'upstream_error');
});

// ---- endpoint overrides

scenario('an endpoint has its own path, method, headers and limits', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const own = { method: 'PUT', headers: { 'User-Agent': 'own/1', Accept: 'x/y', 'Content-Type': 'text/x-odd', 'X-Both': 'endpoint' },
		rate_limit: { requests_per_minute: 1, burst: 2 } };
	const d = await s.daemon({ providers: { p: { ...openai(provider), base_url: `${provider.url}/base/v1?a=1&a=2`,
		headers: { 'user-agent': 'provider/1', 'X-Both': 'provider', 'X-Provider': 'p', 'content-type': 'text/x-odd' },
		endpoints: [
			{ path: PATH, upstream_path: '/asr/listen?b=%20', ...own },
			{ path: '/v1/embeddings', upstream_path: '/vectors?b=%20', ...own },
			{ path: '/v1/audio/translations', headers: { 'X-Only': 'this' } },
		] } } });
	const headers = { Connection: 'close', 'User-Agent': 'client/1', Accept: '*/*' };
	const asForm = { headers: { ...headers, ...TYPE }, body: form(field('model', 'm'), file('file', SOUND)) };
	const asJson = { headers, body: '{"model":"m","input":"x"}' };
	for (const [path, target, request] of [[PATH, '/asr/listen', asForm], ['/v1/embeddings', '/vectors', asJson]]) {
		for (const [query, expected] of [['', '?a=1&a=2&b=%20'], ['?c=3', '?a=1&a=2&b=%20&c=3']]) {
			const reply = await s.request(d, { path: path + query, ...request });
			assert.equal(reply.status, 200, reply.text);
			const got = provider.requests.at(-1);
			assert.equal(got.startLine, `PUT /base/v1${target}${expected} HTTP/1.1`);
			for (const [name, value] of Object.entries({ 'user-agent': 'own/1', accept: 'x/y', 'x-both': 'endpoint', 'x-provider': 'p' }))
				assert.deepEqual(got.headers(name), [value], `${path}: ${name}`);
			assert.deepEqual(got.headers('content-type'), [request === asForm ? FORM_TYPE : 'text/x-odd']);
			assert.ok(got.body.equals(Buffer.from(request.body)));
		}
		const limited = await s.request(d, { path, ...request });
		isError(limited, 429, /limit of 1 requests a minute/);
	}
	const reply = await s.request(d, { path: '/v1/audio/translations?c=3', ...asForm });
	assert.equal(reply.status, 200);
	const got = provider.requests.at(-1);
	assert.equal(got.startLine, 'POST /base/v1/audio/translations?a=1&a=2&c=3 HTTP/1.1');
	assert.deepEqual(['user-agent', 'accept', 'x-both', 'x-only', 'content-type'].map((name) => got.header(name)),
		['provider/1', '*/*', 'provider', 'this', FORM_TYPE]);
});

scenario('an endpoint has its own heartbeat', async (s) => {
	const provider = await s.peer();
	const chat = '/v1/chat/completions';
	const beats = (path) => ({ path, stream: { heartbeat: 0.05 } });
	const d = await s.daemon({ stream: { heartbeat: 0 }, providers: {
		p: openai(provider, { endpoints: [beats(PATH), beats(chat), beats('/v1/audio/speech')] }),
		q: openai(provider, { models: ['q'] }),
	} });
	const asForm = (model) => ({ path: PATH, headers: TYPE, body: form(field('stream', 'true'), field('model', model)) });
	const asChat = (model) => ({ path: chat, json: { model, stream: true, messages: [] } });
	const asSpeech = (model) => ({ ...speak, json: { ...speak.json, model, stream_format: 'sse' } });
	const first = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n';
	for (const make of [asForm, asChat, asSpeech]) {
		const c = await s.connect(d);
		const none = await s.connect(d);
		const replies = [];
		for (const [conn, model] of [[none, 'q'], [c, 'm']]) {
			await conn.request(make(model));
			const { conn: up } = await provider.request();
			await up.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'text/event-stream', 'Transfer-Encoding': 'chunked' }));
			await up.send(chunk(first));
			replies.push(await conn.readHead());
			await replies.at(-1).event();
		}
		for (let i = 0; i < 3; i++)
			assert.equal((await replies[1].until('\n')).toString(), ': keep-alive\n');
		assert.equal(none.available, 0, 'the other provider\'s has none');
	}
});
