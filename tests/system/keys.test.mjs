// keys: clients and their keys: made by -k, shown in any of four fields, compared, stripped, limited, changed by HUP;
// and that none of them is ever seen anywhere else.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { confText } from '../lib/conf.mjs';
import { binary } from '../lib/daemon.mjs';
import { alive, listens, workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const MESSAGES = '/v1/messages';
const ALICE = 'ar-AliceAliceAliceAliceAliceAliceAliceAlice01';
const BOB = 'ar-BobBobBobBobBobBobBobBobBobBobBobBobBob002';
const hash = (key) => `sha256:${createHash('sha256').update(key).digest('hex')}`;
const client = (key, more = {}) => ({ key: hash(key), ...more });
const echo = { dialect: 'echo', models: ['echo', 'echo-2'], echo: { interval: 0.02 } };
const both = { providers: { echo }, clients: { alice: client(ALICE), bob: client(BOB) } };
const bearer = (key) => ({ Authorization: `Bearer ${key}` });
const body = (model = 'echo', more = {}) => ({ model, messages: [{ role: 'user', content: 'one two' }], ...more });

// A request on a connection of its own, with this key; `key` null: none.
const ask = (s, d, key, options = {}) => s.request(d, {
	path: CHAT, ...(options.method ? {} : { json: body() }), ...options,
	headers: { Connection: 'close', ...(key === null ? {} : bearer(key)), ...options.headers },
});
const status = async (...args) => (await ask(...args)).status;

// Reload, until the old workers take no new connections.
async function reload(d) {
	const old = workers(d);
	const ready = () => [...d.log.matchAll(/ready: \d+ workers, generation \d+/g)].length;
	const before = ready();
	d.signal('SIGHUP');
	await until(() => ready() > before, 'the new generation is ready');
	await until(() => !old.some((pid) => stillListens(pid, d.port)), 'only the new generation accepts');
}
function stillListens(pid, port) {
	try {
		return alive(pid) && listens(pid, port);
	} catch {
		return false; // it has ended meanwhile
	}
}
// All bytes that a peer has received.
const seen = (peer) => Buffer.concat(peer.connections.flatMap((c) => c.received)).toString('latin1');
// That no text holds any of the keys.
function assertNowhere(texts, ...keys) {
	for (const [name, text] of Object.entries(texts))
		for (const key of keys)
			assert.ok(!text.includes(key), `${name} holds the key ${key}`);
}

// ---- -k

scenario('-k makes a key that works, and says it once', async (s) => {
	const names = ['alice', 'Team-1_b', 'key', 'name', 'true', 'bob@example.org', '1st', 'a "quoted" \\ name', 'Zoë 😀', '%s%n', '*'];
	const d = s.command({ providers: { echo } });
	const rest = d.config;
	const keys = new Set();
	for (const name of names) {
		const made = await d.runBare('-k', name);
		assert.equal(made.code, 0);
		assert.equal(made.stderr, '');
		const [, key, stanza] = made.stdout.match(/^(ar-[A-Za-z0-9_-]{43})\n\n(clients[^]*)$/);
		assert.equal(made.stdout.split(key).length, 2, 'once');
		assert.ok(stanza.includes(`"${hash(key)}"`), stanza);
		assert.match(stanza, /^[A-Za-z]/.test(name) && /^[\w-]+$/.test(name) && name !== 'true' ? /^clients: \{\n/ : /^clients = \(\n/);
		keys.add(key);
		d.writeConfig(stanza + rest);
		await (keys.size === 1 ? d.start() : reload(d));
		const reply = await ask(s, d, key);
		assert.equal(reply.status, 200, `${name}: ${reply.text}`);
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).client, name);
		assert.equal(await status(s, d, null), 401);
		assert.equal(await status(s, d, hash(key)), 401, 'the hash is no key');
	}
	assert.equal(keys.size, names.length);
	await d.logged(3 * names.length);
	for (const file of readdirSync(d.dir).filter((file) => !/^run\.\d+\.stdout$/.test(file)))
		assertNowhere({ [file]: readFileSync(join(d.dir, file), 'utf8') }, ...keys);
});

scenario('-k refuses a name that no configuration can hold', async (s) => {
	const d = s.command(null);
	for (const [name, why] of [['', '1 to 128 bytes'], ['x'.repeat(129), '1 to 128 bytes'], ['a\nb', 'control characters'], ['a\x7f', 'control']]) {
		const run = await d.runBare('-k', name);
		assert.equal(run.code, 64);
		assert.ok(run.stderr.includes(why), run.stderr);
		assert.equal(run.stdout, '');
	}
	const { status: code, stdout, stderr } = spawnSync('sh', ['-c', 'exec "$0" -k "$(printf "a\\377")"', binary], { encoding: 'utf8' });
	assert.deepEqual([code, stdout], [64, '']);
	assert.match(stderr, /UTF-8/);
	assert.equal((await d.runBare('-k', 'x'.repeat(128))).code, 0);
});

// ---- where a key stands

scenario('a key is accepted in four fields, and nothing of it goes on', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: {} }));
	const common = { api_key: 'sk-ours', models: [] };
	const d = await s.daemon({
		...both,
		providers: {
			own: { dialect: 'openai', base_url: `${provider.url}/v1`, ...common, models: ['own'] },
			theirs: { dialect: 'openai', base_url: `${provider.url}/v1`, ...common, models: ['theirs'], credential: 'client' },
			either: { dialect: 'anthropic', base_url: provider.url, ...common, models: ['either'], credential: 'client-or-provider' },
		},
	});
	const good = [
		{ Authorization: `Bearer ${ALICE}` }, { authorization: `bEaReR \t ${ALICE} \t` }, { Authorization: `Bearer\t${ALICE}` },
		{ 'x-api-key': ALICE }, { 'X-API-KEY': `\t${ALICE}  ` }, { 'api-key': ALICE }, { 'x-goog-api-key': ALICE },
		{ Authorization: 'Bearer sk-own', 'x-api-key': ALICE }, { 'x-api-key': 'sk-own', Authorization: `Bearer ${ALICE}` },
		{ Authorization: [`Bearer ${ALICE}`, `Bearer ${BOB}`, 'Bearer sk-own'] }, { 'x-api-key': [ALICE, ALICE, 'sk-own'], 'api-key': BOB },
		{ 'x-api-key': ALICE, Connection: 'close, x-api-key' },
		{ 'x-api-key': ALICE, Authorization: [ALICE, `Token ${BOB}`, `Bearer\t${BOB}`] },
		{ 'x-api-key': ALICE, 'User-Agent': `curl ${ALICE}`, 'X-Request-Id': ALICE, 'openai-project': ALICE, Cookie: `key=${ALICE}`, Referer: `/${ALICE}` },
	];
	for (const headers of good) {
		const own = JSON.stringify(headers).includes('sk-own');
		for (const [model, path] of [['own', CHAT], ['theirs', CHAT], ['either', MESSAGES]]) {
			const reply = await ask(s, d, null, { path, headers, json: body(model) });
			assert.equal(reply.status, 200, `${JSON.stringify(headers)}: ${reply.text}`);
			const got = provider.requests.at(-1);
			const credentials = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'].flatMap((name) => got.headers(name)).join();
			const expected = model === 'own' || (model === 'either' && !own) ? /^(Bearer )?sk-ours$/ : own ? /^(Bearer )?sk-own$/ : /^$/;
			assert.match(credentials, expected, `${model}: ${JSON.stringify(headers)}`);
			assert.equal((await d.waitAccess(reply.header('x-request-id'))).client, 'alice');
			assertNowhere({ reply: reply.head.toString() + reply.text }, ALICE, BOB);
		}
	}
	const count = provider.requests.length;
	const bad = [
		{}, { Authorization: '' }, { Authorization: 'Bearer' }, { Authorization: 'Bearer ', 'x-api-key': '', 'api-key': ' ' },
		{ Authorization: ALICE }, { Authorization: `Basic ${Buffer.from(`x:${ALICE}`).toString('base64')}` }, { Authorization: `Bearer${ALICE}` },
		{ 'x-api-key': ALICE.slice(0, -1) }, { 'x-api-key': `${ALICE}x` }, { 'x-api-key': ALICE.toLowerCase() }, { 'x-api-key': `${ALICE}, ${ALICE}` },
		{ 'x-api-key': `${ALICE.slice(0, 9)} ${ALICE.slice(9)}` }, { Cookie: `key=${ALICE}` }, { 'Proxy-Authorization': `Bearer ${ALICE}` },
		{ 'x-api-key': hash(ALICE) }, { 'x-api-key': hash(ALICE).slice(7) }, { 'x-api-key': 'alice' },
	];
	for (const headers of bad)
		assert.equal(await status(s, d, null, { headers }), 401, JSON.stringify(headers));
	const targets = [`${CHAT}?key=${ALICE}`, `${CHAT}?api-key=${ALICE}`, `http://alice:${ALICE}@localhost${CHAT}`];
	for (const path of targets)
		assert.ok([400, 401].includes(await status(s, d, null, { path })), path);
	const twice = await ask(s, d, ALICE, { path: `${CHAT}?key=${ALICE}`, json: body('own') });
	assert.equal(twice.status, 400);
	assert.match(twice.json.error.message, /the query holds the client key/);
	assert.equal(provider.requests.length, count, 'nobody got through');
	const access = await d.logged(count + bad.length + targets.length + 1);
	assertNowhere({ provider: seen(provider), log: d.log, access }, ALICE, BOB);
});

scenario('a key is known and hidden on every path, also where the request is refused', async (s) => {
	const d = await s.daemon(both);
	const stray = { 'user-agent': `x ${ALICE}`, referer: ALICE, 'x-request-id': ALICE };
	const cases = [
		[{ method: 'GET', path: `/v1/models/${ALICE}`, headers: { 'x-api-key': ALICE } }, 400],
		[{ path: `${CHAT}/${ALICE}`, json: body(), headers: bearer(ALICE) }, 400],
		[{ path: `${CHAT}?k=${ALICE}`, json: body(), headers: bearer(ALICE) }, 400],
		[{ path: CHAT, json: body(), headers: { 'x-api-key': `Bearer ${ALICE}`, ...stray } }, 401],
		[{ path: CHAT, json: body(), headers: { 'x-request-id': ALICE } }, 401],
		[{ method: 'PUT', path: CHAT, json: body(), headers: { 'x-api-key': ALICE, ...stray } }, 405],
		[{ method: 'GET', path: '/nowhere', headers: { ...bearer(ALICE), ...stray } }, 404],
		[{ method: 'GET', path: '/health', headers: { ...bearer(ALICE), ...stray } }, 200],
	];
	for (const [options, expected] of cases) {
		const reply = await s.request(d, options);
		assert.equal(reply.status, expected, JSON.stringify(options));
		assertNowhere({ reply: JSON.stringify(reply.json ?? ''), id: reply.header('x-request-id') }, ALICE);
	}
	assertNowhere({ access: await d.logged(cases.length), log: d.log }, ALICE);
});

scenario('a key that was pasted where a setting should be is not shown', async (s) => {
	const d = s.command(`${ALICE}\n${confText(both)}`);
	const run = await d.run('-t');
	assert.equal(run.code, 78);
	assertNowhere({ output: run.output }, ALICE);
	assert.match(run.output, /:1: a = is missing after a long word, which is not shown/);
});

scenario('nothing of a key is in any log, at debug, nor in the metrics, in either format', async (s) => {
	for (const format of ['text', 'json']) {
		const provider = await s.peer();
		provider.serve((request, conn, n) => (n % 3 ? { body: {} } : { status: 500, body: { error: { message: 'broken' } } }));
		const d = await s.daemon({
			...both, clients: { alice: client(ALICE, { models: ['m', 'gone'] }), 'bob-2': client(BOB) }, log: { level: 'debug', format }, access_log: { format },
			providers: { echo, p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'], credential: 'client' },
				gone: { dialect: 'openai', base_url: 'http://127.0.0.1:1/v1', models: ['gone'] } },
		});
		for (const headers of [bearer(ALICE), { 'x-api-key': ALICE }, { 'api-key': BOB }, { 'x-goog-api-key': `${BOB}x` }, { Authorization: ALICE }])
			for (const options of [{ json: body('m') }, { json: body('gone') }, { json: body('none') }, { json: body('echo', { stream: true }) },
				{ body: '{"model":' }, { method: 'GET', path: '/v1/models' }, { method: 'GET', path: '/nowhere' }, { method: 'GET', path: '/health' }])
				await ask(s, d, null, { ...options, headers });
		const broken = await s.connect(d);
		await broken.send(`POST ${CHAT} HTTP/1.1\r\nHost: a\r\nx-api-key: ${ALICE}\r\nBad Name: ${BOB}\r\n\r\n`);
		assert.equal((await broken.readReply()).status, 400);
		const metrics = (await s.request(d, { path: '/metrics' })).text;
		const access = await d.logged(5 * 8 + 2);
		assert.match(metrics, /^api_router_requests_total\{[^}]*client="alice"/m);
		assert.match(metrics, /^api_router_requests_total\{[^}]*client="bob-2"/m);
		assert.match(access, format === 'json' ? /"client":"bob-2"/ : /^127\.0\.0\.1 - bob-2 \[/m);
		assert.match(d.log, /debug/);
		assertNowhere({ log: d.log, access, metrics, provider: seen(provider) }, ALICE, BOB, hash(ALICE).slice(7), hash(BOB).slice(7));
	}
});

// ---- refusals

scenario('401 in both shapes, and what follows on the connection', async (s) => {
	const d = await s.daemon(both);
	for (const [headers, message] of [
		[{}, 'a client key is required: send it as Authorization: Bearer KEY, x-api-key, api-key or x-goog-api-key'],
		[bearer('sk-nobody'), 'the client key is not one that the router knows'],
	]) {
		const openai = await ask(s, d, null, { headers });
		assert.equal(openai.status, 401);
		assert.equal(openai.header('www-authenticate'), 'Bearer');
		assert.deepEqual(openai.json, { error: { message, type: 'invalid_request_error', param: null, code: 'invalid_api_key' } });
		for (const options of [{ path: MESSAGES }, { method: 'GET', path: '/v1/models', headers: { 'anthropic-version': '2023-06-01' } }]) {
			const anthropic = await ask(s, d, null, { ...options, headers: { ...options.headers, ...headers } });
			assert.equal(anthropic.status, 401);
			assert.equal(anthropic.header('www-authenticate'), 'Bearer');
			assert.deepEqual(anthropic.json, { type: 'error', error: { type: 'authentication_error', message }, request_id: anthropic.header('request-id') });
		}
	}
	const line = await d.waitAccess((l) => l.status === 401);
	assert.deepEqual([line.client, line.end], [null, 'refused']);

	// Without a body the connection goes on.
	const conn = await s.connect(d);
	for (const key of [null, 'sk-nobody', ALICE, 'sk-nobody', BOB]) {
		const reply = await conn.exchange({ path: '/v1/models', headers: key ? bearer(key) : {} });
		assert.equal(reply.status, key === ALICE || key === BOB ? 200 : 401);
		assert.equal(reply.header('connection'), undefined);
	}
	assert.equal((await conn.exchange({ method: 'HEAD', path: '/v1/models' })).status, 401);
	assert.equal((await conn.exchange({ path: CHAT, headers: bearer(ALICE), json: body() })).status, 200);
});

scenario('a 401 does not wait for the body, and what was sent of it is no request', async (s) => {
	const d = await s.daemon(both);
	const head = (fields) => `POST ${CHAT} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
	const hidden = `GET /v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: ${ALICE}\r\n\r\n`;
	const cases = [
		head('Content-Length: 1000\r\n'),
		head('Content-Length: 1000\r\nExpect: 100-continue\r\n'),
		head('Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n'),
		`${head('Transfer-Encoding: chunked\r\n')}5\r\n{"mod`,
		head(`Content-Length: ${hidden.length}\r\n`) + hidden,
		head('Transfer-Encoding: chunked\r\n') + chunk(hidden) + LAST_CHUNK + hidden,
	];
	for (const text of cases) {
		const conn = await s.connect(d);
		await conn.send(text);
		const reply = await conn.readReply();
		assert.equal(reply.status, 401, text);
		assert.deepEqual(reply.interim, [], 'nobody is told to go on');
		assert.equal(reply.header('connection'), 'close');
		assert.equal((await conn.readAll()).length, 0, 'one reply, then the end');
	}
	// Who is admitted is told to go on; a request pipelined behind a refused one without a body is its own.
	const conn = await s.connect(d);
	await conn.send(head(`Content-Length: 30\r\nExpect: 100-continue\r\nx-api-key: ${ALICE}\r\n`));
	assert.equal((await conn.readHead()).status, 100);
	conn.destroy();
	const two = await s.connect(d);
	await two.send(`GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n${hidden}GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n`);
	assert.deepEqual([(await two.readReply()).status, (await two.readReply()).status, (await two.readReply()).status], [401, 200, 401]);
});

scenario('which paths need a key, by whatever name', async (s) => {
	const d = await s.daemon(both);
	const table = [
		['GET', '/', 200], ['GET', '/health', 200], ['HEAD', '/health', 200], ['GET', '/metrics', 200], ['GET', '//health/', 200], ['OPTIONS', '*', 204],
		['OPTIONS', CHAT, 204], ['OPTIONS', '/v1/models', 204], ['GET', CHAT, 405], ['PUT', '/v1/models', 405], ['GET', '/nowhere', 404],
		['GET', '/v1%2Fmodels', 404], ['POST', '/v1%2Fchat%2Fcompletions', 404],
		['GET', '/v1/models', 401], ['HEAD', '/v1/models', 401], ['GET', '/v1/models/', 401], ['GET', '//v1//models', 401], ['GET', '/v1/models/echo', 401],
		['GET', '/%76%31/models', 401], ['GET', 'http://localhost/v1/models', 401], ['GET', 'http://localhost//v1/models/echo', 401],
		['GET', '/v1/models/%65cho', 401], ['POST', CHAT, 401], ['POST', `/${CHAT}/`, 401], ['POST', `http://elsewhere${CHAT}`, 401],
		['POST', '/v1/%63hat/completions', 401], ['POST', MESSAGES, 401], ['POST', '/v1/embeddings?x=/health', 401], ['POST', '/v1/audio/transcriptions', 401],
		['GET', '/health/../v1/models', 400], ['GET', '/health/%2e%2e/v1/models', 400],
	];
	for (const [method, path, expected] of table) {
		const reply = await s.request(d, { method, path, ...(method === 'POST' ? { json: body() } : {}) });
		assert.equal(reply.status, expected, `${method} ${path}`);
		assert.ok(!reply.text.includes('echo-2'), `${method} ${path} tells of a model`);
	}
	assert.equal((await s.request(d, { path: '/health' })).json.status, 'ok');
	assert.equal((await ask(s, d, ALICE, { method: 'GET', path: '/v1/models/%65cho' })).json.id, 'echo');
});

scenario('models by glob: 403 in both shapes, lists without them, and 404 as if they did not exist', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: {} }));
	const d = await s.daemon({
		providers: { echo, p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['fast', 'fast-secret', 'slow'],
			model_map: [{ from: 'slow', to: 'fast-secret' }] } },
		routes: [{ model: 'alias', targets: [{ provider: 'p', model: 'fast-secret' }] }, { path: '/v1/audio/*', model: '*', targets: [{ provider: 'p' }] }],
		clients: { alice: client(ALICE, { models: ['echo', 'slow', 'al*s', 'p/f*t'] }), bob: client(BOB) },
	});
	const chat = (key, model, more = {}) => ask(s, d, key, { json: body(model), ...more });
	for (const model of ['echo', 'slow', 'alias', 'p/fast', 'p/fast-secret'])
		assert.equal((await chat(ALICE, model)).status, 200, model);
	assert.equal(provider.requests.at(-1).json.model, 'fast-secret', 'the globs are about the name that the client uses');
	const count = provider.requests.length;
	for (const model of ['fast', 'fast-secret', 'echo-2', 'Echo', 'echo ', 'p/slow', 'echo/echo', '/echo', 'xslow', '', 'nobody-serves-this', '*', 'al*s\n']) {
		const refused = await chat(ALICE, model);
		assert.equal(refused.status, 403, model);
		assert.deepEqual(refused.json.error, {
			message: `the client key of alice does not admit the model \`${model}\``, type: 'permission_error', param: 'model', code: null });
		const other = await ask(s, d, ALICE, { path: MESSAGES, json: body(model) });
		assert.equal(other.status, 403);
		assert.equal(other.json.error.type, 'permission_error');
	}
	for (const text of ['{"messages":[]}', '{"Model":"echo"}', '{"model":"echo","MODEL":"fast"}', '{"model":"echo","mode\\u006c":"fast"}'])
		assert.ok([400, 403].includes((await ask(s, d, ALICE, { body: text })).status), text);
	const form = (model) => `--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n${model === undefined ? '' : `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n`}--b--\r\n`;
	const upload = (key, model) => status(s, d, key, { path: '/v1/audio/transcriptions', body: form(model), headers: { 'Content-Type': 'multipart/form-data; boundary=b' } });
	assert.deepEqual([await upload(ALICE, 'fast'), await upload(ALICE, undefined), await upload(null, 'slow')], [403, 403, 401]);
	assert.equal(provider.requests.length, count, 'none of these went on');
	assert.deepEqual([await upload(ALICE, 'slow'), await upload(BOB, 'fast'), await upload(BOB, undefined)], [200, 200, 200]);
	assert.equal((await chat(BOB, 'fast')).status, 200);

	const list = async (key, headers = {}) => (await ask(s, d, key, { method: 'GET', path: '/v1/models', headers })).json;
	const anthropic = { 'anthropic-version': '2023-06-01' };
	assert.deepEqual((await list(ALICE)).data.map((m) => m.id), ['echo', 'slow', 'alias']);
	assert.deepEqual((await list(BOB)).data.map((m) => m.id), ['echo', 'echo-2', 'fast', 'fast-secret', 'slow', 'alias']);
	const shaped = await list(ALICE, anthropic);
	assert.deepEqual([shaped.data.map((m) => m.id), shaped.first_id, shaped.last_id, shaped.has_more], [['echo', 'slow', 'alias'], 'echo', 'alias', false]);
	for (const headers of [{}, anthropic]) {
		const one = (id) => ask(s, d, ALICE, { method: 'GET', path: `/v1/models/${id}`, headers });
		assert.equal((await one('slow')).json.id, 'slow');
		const [hidden, none] = [await one('fast-secret'), await one('not-there-at-all')];
		assert.deepEqual([hidden.status, none.status], [404, 404]);
		const alike = (reply, id) => reply.text.replaceAll(id, 'ID').replaceAll(reply.header('x-request-id'), '');
		assert.equal(alike(hidden, 'fast-secret'), alike(none, 'not-there-at-all'));
		assert.deepEqual(hidden.names.filter((n) => n !== 'content-length'), none.names.filter((n) => n !== 'content-length'));
	}
});

// ---- limits

scenario('a client has a limit of its own, another one the general', async (s) => {
	const d = await s.daemon({
		providers: { echo }, rate_limit: { requests_per_minute: 1, burst: 2 },
		clients: { alice: client(ALICE, { rate_limit: { requests_per_minute: 1, burst: 4 } }), bob: client(BOB),
			carol: client(`${BOB}-carol`, { rate_limit: { requests_per_minute: 0 } }) },
	});
	const many = async (key, n) => {
		const all = [];
		for (let i = 0; i < n; i++)
			all.push(await status(s, d, key));
		return all;
	};
	assert.deepEqual(await many(ALICE, 6), [200, 200, 200, 200, 429, 429]);
	assert.deepEqual(await many(BOB, 3), [200, 200, 429]);
	assert.deepEqual(await many(`${BOB}-carol`, 8), Array(8).fill(200));
	assert.deepEqual(await many(null, 2), [401, 401], 'who is nobody is not counted');
	const reply = await ask(s, d, ALICE);
	assert.match(reply.json.error.message, /^the limit of 1 requests a minute for (this|every) client on \/v1\/chat\/completions is reached: try again in \d+ s$/);
	assert.ok(Number(reply.header('retry-after')) > 0);
	assert.equal(await status(s, d, ALICE, { path: '/v1/embeddings', json: { model: 'echo', input: 'x' } }), 200, 'another path');
	assert.equal(await status(s, d, ALICE, { method: 'GET', path: '/v1/models' }), 200, 'own paths are not limited');
	const limited = (await s.request(d, { path: '/metrics' })).text.match(/^api_router_rate_limited_total\{.*$/gm).join('\n');
	assert.match(limited, /client="alice"[^}]*\} 3/);
	assert.match(limited, /client="bob"[^}]*\} 1/);
});

// ---- HUP

scenario('HUP: keys go, come and change; streams that are open go on, also of whom is no client any more', async (s) => {
	const carol = 'ar-CarolCarolCarolCarolCarolCarolCarolCarol03';
	const d = await s.daemon({ ...both, workers: 2 });
	const open = [];
	for (const key of [ALICE, BOB]) {
		const conn = await s.connect(d);
		const text = 'word '.repeat(60).trim();
		await conn.request({ path: CHAT, headers: bearer(key), json: body('echo', { stream: true, messages: [{ role: 'user', content: text }] }) });
		const reply = await conn.readHead();
		assert.equal(reply.status, 200);
		await reply.event();
		open.push({ conn, reply, text });
	}
	const old = workers(d);
	// alice goes, bob has another key and carol comes.
	d.writeConfig({ ...both, workers: 2, clients: { bob: client(`${BOB}-new`), carol: client(carol, { models: ['echo'] }) } });
	await reload(d);
	assert.ok(old.some((pid) => workers(d).includes(pid)), 'the old one has its streams');
	for (const [key, expected] of [[ALICE, 401], [BOB, 401], [`${BOB}-new`, 200], [carol, 200]])
		assert.equal(await status(s, d, key), expected, key);
	assert.equal(await status(s, d, carol, { json: body('echo-2') }), 403);
	for (const { conn, reply, text } of open) {
		await reply.finish();
		assert.equal(reply.events.at(-1).data, '[DONE]');
		const words = reply.events.slice(0, -1).map((e) => JSON.parse(e.data).choices[0]?.delta.content ?? '').join('');
		assert.equal(words.trim(), text);
		conn.destroy();
	}
	for (const name of ['alice', 'bob'])
		await d.waitAccess((l) => l.client === name && l.stream && l.end === 'complete');

	// What would let everybody in, or nobody, does not take effect.
	for (const [config, message] of [
		[{ ...both, clients: {} }, /clients is empty, which would admit everyone/],
		[{ ...both, clients: { a: { key: ALICE } } }, /clients\.a\.key must be "sha256:/],
		[{ ...both, clients: { a: { key: 'env:NEVER_SET' } } }, /clients\.a\.key cannot be had: env:NEVER_SET is not set/],
		[{ ...both, clients: { a: client(ALICE), b: client(ALICE) } }, /clients\.b\.key is the key of "a", too/],
	]) {
		const after = d.log.length;
		d.writeConfig(config);
		d.signal('SIGHUP');
		await d.waitLog(/reload failed/, { after });
		assert.match(d.log.slice(after), message);
		assert.deepEqual([await status(s, d, carol), await status(s, d, ALICE), await status(s, d, null)], [200, 401, 401]);
	}
	// Without clients everyone is admitted, on loopback.
	d.writeConfig({ ...both, clients: undefined });
	await reload(d);
	assert.equal(await status(s, d, null), 200);
	const access = await d.logged(open.length + 5 + 4 * 3 + 1); // behind the streams: five, three at each mistake, and the last
	assertNowhere({ log: d.log, access }, ALICE, BOB, carol);
});

scenario('keys from the environment and from files', async (s) => {
	const env = { CLIENT_KEY: `${ALICE}-environment`, OTHER: 'kept' };
	const d = s.command({}, { env });
	const file = join(d.dir, 'bob.key');
	writeFileSync(file, `  ${BOB}-file\t\r\nsecond line\n`);
	chmodSync(file, 0o604);
	d.writeConfig({ providers: { echo }, clients: { alice: { key: 'env:CLIENT_KEY' }, bob: { key: `file:${file}` } } });
	await d.start();
	assert.match(d.log, new RegExp(`^api-router: \\S*api-router\\.conf:\\d+: file:${file}: the file can be read by every user of this machine: chmod o-r\n`, 'm'));
	assert.deepEqual([await status(s, d, env.CLIENT_KEY), await status(s, d, `${BOB}-file`), await status(s, d, `${BOB}`)], [200, 200, 401]);
	for (const pid of [d.pid, ...d.children().map((p) => p.pid)]) {
		const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
		assertNowhere({ [`the environment of ${pid}`]: environment }, ALICE, env.CLIENT_KEY);
		assert.match(environment, /OTHER=kept/);
		assert.match(environment, /CLIENT_KEY=\0/);
	}
	// The file is read again, the variable's copy is still there.
	writeFileSync(file, `${BOB}-second`);
	chmodSync(file, 0o600);
	const after = d.log.length;
	await reload(d);
	assert.deepEqual([await status(s, d, env.CLIENT_KEY), await status(s, d, `${BOB}-second`), await status(s, d, `${BOB}-file`)], [200, 200, 401]);
	assert.doesNotMatch(d.log.slice(after), /can be read by/);
	// A file that is empty, or holds what is soon guessed, changes nothing.
	for (const [text, message] of [['', /clients\.bob\.key cannot be had: file:\S+ is empty/], ['letmein', /has fewer than 16 characters/],
		[`${BOB}\x01`, /holds a control character/]]) {
		const from = d.log.length;
		writeFileSync(file, text);
		d.signal('SIGHUP');
		await d.waitLog(/reload failed/, { after: from });
		assert.match(d.log.slice(from), message);
		assert.equal(await status(s, d, `${BOB}-second`), 200);
	}
	assertNowhere({ access: await d.logged(9), log: d.log, configuration: d.config }, ALICE, BOB, 'letmein');
	const printed = await d.run('-T');
	assert.equal(printed.code, 78, 'the file is broken now');
	writeFileSync(file, `${BOB}-second`);
	const again = await d.run('-T');
	assert.equal(again.code, 0, again.output);
	assert.ok(again.stdout.includes('"env:CLIENT_KEY"') && again.stdout.includes(`"file:${file}"`));
	assertNowhere({ '-T': again.output }, ALICE, BOB);
});

// ---- the configuration

scenario('closed by default', async (s) => {
	const d = s.command({});
	for (const address of ['*', '0.0.0.0', '::', '192.0.2.1']) {
		d.writeConfig({ providers: { echo }, listen: [{ address: '127.0.0.1', port: 0 }, { address, port: 0 }] });
		for (const args of [['-t'], []]) {
			const run = await d.run(...args);
			assert.equal(run.code, 78, run.output);
			assert.ok(run.stderr.includes(`listen[1] admits everyone who can reach "${address}": name clients ` +
				'(api-router -k NAME makes a key), or, if that is meant, say open = true;'), run.stderr);
			assert.match(run.stderr, /api-router\.conf:\d+: listen\[1\]/);
		}
	}
	const star = [{ address: '*', port: 0 }];
	d.writeConfig({ providers: { echo }, listen: star, open: true });
	assert.equal((await d.run('-t')).code, 0);
	d.writeConfig({ ...both, listen: star, open: true });
	assert.equal((await d.run('-t')).code, 0);
	d.writeConfig({ ...both, listen: [{ address: '0.0.0.0', port: 0 }] });
	await d.start();
	assert.deepEqual([await status(s, d, null), await status(s, d, ALICE)], [401, 200]);
	assert.equal((await s.request(d, { path: '/metrics' })).status, 404, 'beyond loopback there are no metrics');
	// A reload cannot open it by leaving the clients out.
	d.writeConfig({ providers: { echo }, listen: [{ address: '0.0.0.0', port: 0 }] });
	d.signal('SIGHUP');
	await d.waitLog(/reload failed/);
	assert.match(d.log, /listen\[0\] admits everyone who can reach "0\.0\.0\.0"/);
	assert.equal(await status(s, d, null), 401);
});

scenario('open = true does not admit without a key where there are clients', async (s) => {
	const d = await s.daemon({ ...both, open: true });
	assert.deepEqual([await status(s, d, null), await status(s, d, 'sk-nobody'), await status(s, d, BOB)], [401, 401, 200]);
});

scenario('a group or a list, -T shows no secret and loads to the same, and messages show no key', async (s) => {
	const d = s.command({ ...both, clients: [{ name: 'bob@x "y" \\', ...client(BOB) },
		{ name: 'alice', ...client(ALICE, { models: ['e*', 'm'], rate_limit: { requests_per_minute: 6, burst: 2 } }) }] });
	const first = await d.run('-T');
	assert.equal(first.code, 0, first.output);
	assertNowhere({ '-T': first.output }, ALICE, BOB);
	const text = d.config;
	d.writeConfig(first.stdout);
	const second = await d.run('-T');
	assert.equal(second.stdout, first.stdout);
	d.writeConfig(`${first.stdout.replace(/port = \d+/, 'port = 0')}`);
	await d.start();
	assert.deepEqual([await status(s, d, ALICE), await status(s, d, ALICE), await status(s, d, ALICE), await status(s, d, BOB)], [200, 200, 429, 200]);
	assert.equal(await status(s, d, ALICE, { json: body('other') }), 403);
	assert.match(text, /clients = \(/);

	// A key where it does not belong is not shown in what is said of it.
	const rest = confText({ providers: { echo } });
	for (const clients of [`{ a = "${ALICE}"; }`, `{ a: { key = "${ALICE}"; }; }`, `{ a: { key = ${ALICE}; }; }`, `{ a: { keys = "${ALICE}"; }; }`, `( "${ALICE}" )`,
		`"${ALICE}"`, `{ a: { key = ( "${ALICE}" ); }; }`, `{ a: { key = "sha256:${ALICE}"; }; }`, `{ a: { key = "SHA256:${ALICE}"; }; }`, `{ a: { key: "${ALICE}" "x"; }; }`,
		`{ a = ${ALICE}; }`, `{ a: { key = "${ALICE}; }; }`, `{ a: "${ALICE}" }`, `[ "${ALICE}" ]`]) {
		d.writeConfig(`clients = ${clients};\n${rest}`);
		const run = await d.run('-t');
		assert.equal(run.code, 78, `${clients}: ${run.output}`);
		assertNowhere({ [`-t of ${clients}`]: run.output }, ALICE);
	}
});

scenario('5,000 clients', async (s) => {
	const key = (i) => `ar-key-of-client-number-${i}-of-five-thousand`;
	const d = await s.daemon({ ...both, clients: Array.from({ length: 5000 }, (_, i) => ({ name: `client ${i}`, ...client(key(i)) })) });
	for (const i of [0, 1, 2499, 4998, 4999]) {
		const reply = await ask(s, d, key(i));
		assert.equal(reply.status, 200);
		assert.equal((await d.waitAccess(reply.header('x-request-id'))).client, `client ${i}`);
	}
	assert.equal(await status(s, d, key(5000)), 401);
	const conn = await s.connect(d);
	for (let i = 0; i < 200; i++)
		assert.equal((await conn.exchange({ path: '/v1/models', headers: { 'x-api-key': key(i * 20) } })).status, 200);
	// A group has 1,000 settings at most: the message says what it is about.
	d.writeConfig({ ...both, clients: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`c${i}`, client(key(i))])) });
	const run = await d.run('-t');
	assert.equal(run.code, 78);
	assert.match(run.output, /a group of more than 1000 settings/);
}, { ms: 120000 });
