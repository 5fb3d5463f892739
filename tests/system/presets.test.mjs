// presets: the files of etc/presets: each starts as it is, says what the table below says of it, and on the paths that are
// passed through a scripted provider in the place of the real one sees the path, fields, credential and model that it should,
// as often as the limits allow.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseConf } from '../lib/conf.mjs';
import { provide, script } from '../lib/dialects.mjs';
import { streamHead } from '../lib/peer.mjs';
import { scenario } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, sse } from '../lib/wire.mjs';
import { freePort } from '../lib/port.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const file = (name) => join(root, 'etc/presets', `${name}.conf`);

const CHAT = '/v1/chat/completions';
const COMPLETIONS = '/v1/completions';
const RESPONSES = '/v1/responses';
const MESSAGES = '/v1/messages';
const COUNT = '/v1/messages/count_tokens';
const RERANK = '/v1/rerank';
const ACCEPT = 'application/json, text/event-stream';

// Every endpoint of the daemon: { '/v1/embeddings': { dialect, stream, form } }.
const ENDPOINTS = Object.fromEntries([...readFileSync(join(root, 'include/dialect/endpoint.def'), 'utf8')
	.matchAll(/^ENDPOINT\(\w+, "(\S+)", (\w+), "\S*", "\S*", "\S*", (\w+), \w+, (\w+)\)$/gm)]
	.map(([, path, dialect, stream, form]) => [path, { dialect, stream: stream === 'true', form: form === 'true' }]));

// Paths that are passed through, by the client's: at the provider, behind the host.
const OPENAI = Object.fromEntries(Object.keys(ENDPOINTS).filter((path) => ENDPOINTS[path].dialect === 'OPENAI').map((path) => [path, path]));
const LLAMA = {
	'gpt-3.5-turbo': 'llama3.2', 'gpt-4o-mini': 'llama3.2', 'gpt-4': 'llama3.1:70b', 'gpt-4-turbo': 'llama3.1:70b', 'gpt-4o': 'llama3.1:405b',
};

// `limit` and `limits`: requests a minute and burst, of the provider and of single paths. `accept`: the endpoints whose Accept
// is set. `paths`: those that are passed through.
const PRESETS = {
	qwen: {
		base: 'https://portal.qwen.ai/v1', agent: 'QwenCode/0.0.14 (linux; x64)', paths: OPENAI, accept: [CHAT, COMPLETIONS, RESPONSES],
		limit: [120, 40], limits: { [CHAT]: [60, 25], [COMPLETIONS]: [60, 25] },
		map: { 'gpt-3.5-turbo': 'qwen3-coder-plus', 'gpt-4': 'qwen3-coder-max', 'gpt-4-turbo': 'qwen3-coder-turbo' },
	},
	openai: {
		base: 'https://api.openai.com/v1', agent: 'api-router/1.0', paths: OPENAI, accept: [CHAT, COMPLETIONS, RESPONSES],
		limit: [90, 30], map: { 'qwen3-coder-plus': 'gpt-3.5-turbo', 'qwen3-coder-max': 'gpt-4' },
	},
	generic: {
		base: 'https://api.openai.com/v1', agent: 'GenericAPI/1.0', paths: OPENAI, accept: [CHAT, COMPLETIONS, RESPONSES],
		limit: [60, 20], port: 8001,
	},
	anthropic: {
		base: 'https://api.anthropic.com', agent: 'api-router/1.0', paths: { [MESSAGES]: '/v1/messages', [COUNT]: '/v1/messages/count_tokens' },
		accept: [MESSAGES], dialect: 'anthropic',
		map: {
			'gpt-4o': 'claude-3-opus-20240229', 'gpt-4': 'claude-3-opus-20240229', 'gpt-4o-mini': 'claude-3-5-sonnet-20240620',
			'gpt-3.5-turbo': 'claude-3-haiku-20240307',
		},
	},
	cohere: {
		base: 'https://api.cohere.com', agent: 'api-router/1.0', accept: [CHAT], dialect: 'cohere', paths: { [RERANK]: '/v2/rerank' },
		map: { 'gpt-4o': 'command-r-plus', 'gpt-4': 'command-r-plus', 'gpt-4o-mini': 'command-r', 'gpt-3.5-turbo': 'command-light' },
	},
	gemini: {
		base: 'https://generativelanguage.googleapis.com', agent: 'api-router/1.0', accept: [CHAT], dialect: 'gemini', paths: {},
		map: { 'gpt-4o': 'gemini-1.5-pro', 'gpt-4': 'gemini-1.5-pro', 'gpt-4o-mini': 'gemini-1.5-flash', 'gpt-3.5-turbo': 'gemini-pro' },
	},
	'ollama-cloud': {
		base: 'https://ollama.com', agent: 'api-router/1.0', accept: [CHAT, COMPLETIONS], dialect: 'ollama', paths: {},
		limit: [100, 30], limits: { [CHAT]: [60, 20], [COMPLETIONS]: [60, 20] }, map: LLAMA,
	},
	'ollama-local': {
		base: 'http://localhost:11434', agent: 'api-router/1.0', accept: [CHAT, COMPLETIONS], dialect: 'ollama', paths: {},
		limit: [300, 100], map: LLAMA,
	},
};
const limitOf = (preset, path) => preset.limits?.[path] ?? preset.limit ?? [0, 0];

// The shipped file, with the host of its base_url and its port replaced, and the access log as JSON.
function textFor(name, peer) {
	const shipped = readFileSync(file(name), 'utf8');
	const text = shipped.replace(/(base_url = ")https?:\/\/[^/"]+/, `$1${peer.url}`).replace(/port = \d+/, 'port = 0');
	return `${text}workers = 1;\naccess_log: { format = "json"; };\n`;
}
async function daemonFor(s, name, peer, env = {}) {
	const d = s.command(textFor(name, peer), { env });
	await d.start();
	return d;
}

// ---- requests and replies of each path

const event = (path, ...data) => data.map((d) => sse(d, path === RESPONSES || path === MESSAGES ? d.type : undefined)).join('');
const STREAMS = {
	[CHAT]: event(CHAT, { id: 'x', choices: [{ index: 0, delta: { role: 'assistant', content: 'hi' }, finish_reason: null }] },
		{ id: 'x', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }, '[DONE]'),
	[COMPLETIONS]: event(COMPLETIONS, { id: 'x', choices: [{ index: 0, text: 'hi', finish_reason: 'stop' }] }, '[DONE]'),
	[RESPONSES]: event(RESPONSES, { type: 'response.created', response: { id: 'r' } }, { type: 'response.completed', response: { id: 'r' } }),
	[MESSAGES]: event(MESSAGES,
		{ type: 'message_start', message: { id: 'm', type: 'message', role: 'assistant', content: [], usage: { input_tokens: 1, output_tokens: 1 } } },
		{ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } }, { type: 'message_stop' }),
	'/v1/images/generations': event('', { type: 'image_generation.completed', b64_json: 'AA==' }),
	'/v1/images/edits': event('', { type: 'image_edit.completed', b64_json: 'AA==' }),
	'/v1/audio/transcriptions': event('', { type: 'transcript.text.delta', delta: 'hi' }, { type: 'transcript.text.done', text: 'hi' }),
};
const TYPES = { '/v1/audio/speech': 'audio/mpeg' };

const BOUNDARY = '----preset';
const form = (fields) => `${Object.entries(fields).map(([name, value]) => `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"` +
	`${name === 'file' ? '; filename="a.bin"\r\nContent-Type: application/octet-stream' : ''}\r\n\r\n${value}\r\n`).join('')}--${BOUNDARY}--\r\n`;

// The body of a request on this path, and its type.
function bodyOf(path, model, stream) {
	if (ENDPOINTS[path].form)
		return [form({ file: '\0\r\n--x', model, ...(stream ? { stream: 'true' } : {}) }), `multipart/form-data; boundary=${BOUNDARY}`];
	return [JSON.stringify({ input: 'x', model, messages: [], ...(stream ? { stream } : {}) }), 'application/json'];
}

// A provider that answers every path in its way: what it sent is in `sent`.
async function providerOf(s, preset) {
	const peer = await s.peer();
	const prefix = new URL(preset.base).pathname.replace(/\/$/, '');
	peer.serve((request) => {
		const path = Object.keys(preset.paths).find((p) => preset.paths[p] === request.target) ?? request.target;
		const streamed = /"stream":true|name="stream"/.test(request.text);
		peer.sent = Buffer.from(streamed ? STREAMS[path] : `{"id":"x", "path":"${path}","n":1.0}`);
		return streamed ? Buffer.concat([streamHead(), chunk(peer.sent), LAST_CHUNK])
			: { headers: { 'Content-Type': TYPES[path] ?? 'application/json' }, body: peer.sent };
	});
	peer.prefix = prefix;
	return peer;
}

// One request; the provider must have seen what the table says, and its reply must have come back.
async function ask(s, { d, peer, preset }, path, { model = 'as-it-is', stream = false, headers = {}, credential = {} }) {
	const shown = `${path} ${model}${stream ? ', streamed' : ''}`;
	const mapped = preset.map?.[model] ?? model;
	const [body, type] = bodyOf(path, model, stream);
	const reply = await s.request(d, { path, body, headers: { Connection: 'close', Accept: '*/*', 'User-Agent': 'test/1', 'Content-Type': type, ...headers } });
	assert.equal(reply.status, 200, `${shown}: ${reply.text}`);
	assert.ok(reply.body.equals(peer.sent), `${shown}: ${reply.text}`);
	assert.equal(reply.cut, false, shown);
	assert.match(reply.header('content-type'), stream ? /^text\/event-stream/ : new RegExp(TYPES[path] ?? 'application/json'), shown);
	assert.equal(reply.header('x-api-router-model'), mapped, shown);
	const got = peer.requests.at(-1);
	assert.equal(got.startLine, `POST ${preset.paths[path]} HTTP/1.1`, shown);
	assert.equal(got.text, bodyOf(path, mapped, stream)[0], shown);
	const seen = ['host', 'user-agent', 'accept', 'content-type', 'authorization', 'x-api-key', 'anthropic-version']
		.map((name) => [name, got.header(name)]).filter(([, value]) => value !== undefined);
	assert.deepEqual(Object.fromEntries(seen), {
		host: `127.0.0.1:${peer.port}`, 'user-agent': preset.agent, accept: preset.accept.includes(path) ? ACCEPT : '*/*', 'content-type': type,
		...(preset.dialect === 'anthropic' ? { 'anthropic-version': '2023-06-01' } : {}), ...credential,
	}, shown);
}

// ---- the tests

scenario('there are these presets and no others', async () => {
	assert.deepEqual(readdirSync(join(root, 'etc/presets')).map((name) => basename(name, '.conf')).sort(), Object.keys(PRESETS).sort());
	assert.equal(Object.keys(OPENAI).length, 12, 'the table of endpoints was read');
});

for (const [name, preset] of Object.entries(PRESETS)) {
	scenario(`${name}: -T shows what is known of it`, async (s) => {
		const d = s.command(null, { env: { DEFAULT_API_KEY: 'sk-secret' } });
		const run = await d.runBare('-T', '-c', file(name));
		assert.equal(run.code, 0, run.output);
		assert.ok(!run.output.includes('sk-secret'));
		assert.equal(run.stderr, `api-router: ${file(name)}: ok\n`, 'no warning');
		const c = parseConf(run.stdout);
		assert.deepEqual(c.listen, [{ address: '127.0.0.1', port: preset.port ?? 8000, admin: true }]);
		assert.equal(c.pid_file, '', 'several run at one time');
		assert.deepEqual(c.rate_limit, { requests_per_minute: 0, burst: 0 }, 'left to the environment');
		assert.deepEqual(c.routes, [{ path: '*', model: '*', targets: [{ provider: name, model: '', weight: 1 }] }]);
		assert.deepEqual(Object.keys(c.providers), [name]);
		const p = c.providers[name];
		assert.equal(p.dialect, preset.dialect ?? 'openai');
		assert.equal(p.base_url, preset.base);
		assert.equal(p.credential, 'client-or-provider');
		assert.equal(p.api_key, '***');
		assert.deepEqual(p.headers, [{ name: 'User-Agent', value: preset.agent }]);
		assert.deepEqual(p.model_map, Object.entries(preset.map ?? {}).map(([from, to]) => ({ from, to })));
		const rate = ({ requests_per_minute: n, burst }) => [n, burst];
		assert.deepEqual(rate(p.rate_limit), preset.limit ?? [0, 0]);
		assert.deepEqual(p.endpoints.map((e) => e.path).sort(), [...preset.accept].sort());
		for (const e of p.endpoints) {
			assert.equal(e.upstream_path, undefined, `${e.path}: the dialect's own`);
			assert.deepEqual(e.headers, [{ name: 'Accept', value: ACCEPT }], e.path);
			assert.deepEqual(rate(e.rate_limit), limitOf(preset, e.path), e.path);
		}
		assert.deepEqual([p.max_tokens, p.unsupported, p.model_options], [4096, 'drop', []], 'the defaults of translation');
		for (const path of Object.keys(preset.limits ?? {}))
			assert.ok(p.endpoints.some((e) => e.path === path), path);
	});

	scenario(`${name}: the file as shipped starts, on the port of -p`, async (s) => {
		const port = await freePort();
		const d = s.command(null, { args: ['-c', file(name), '-p', String(port)] });
		await d.start();
		assert.deepEqual(d.listeners, [{ address: '127.0.0.1', port }]);
		assert.equal((await s.request(d, { path: '/health' })).json.status, 'ok');
	});

	if (Object.keys(preset.paths).length === 0)
		continue;

	scenario(`${name}: what the provider sees, on every path that is passed through, plain and streamed`, async (s) => {
		const peer = await providerOf(s, preset);
		const d = await daemonFor(s, name, peer, { DEFAULT_API_KEY: 'sk-env' });
		const ours = preset.dialect === 'anthropic' ? { 'x-api-key': 'sk-env' } : { authorization: 'Bearer sk-env' };
		const theirs = preset.dialect === 'anthropic' ? { 'x-api-key': 'sk-client' } : { authorization: 'Bearer sk-client' };
		const bearer = { authorization: 'Bearer sk-client' };
		const at = { d, peer, preset };
		const model = Object.keys(preset.map ?? {})[0];
		for (const path of Object.keys(preset.paths)) {
			await ask(s, at, path, { model, credential: ours });
			await ask(s, at, path, { model: 'qwen-9', headers: theirs, credential: theirs });
			await ask(s, at, path, { model, headers: bearer, credential: bearer });
			if (ENDPOINTS[path].stream)
				await ask(s, at, path, { model, stream: true, headers: theirs, credential: theirs });
		}
		const [first] = Object.keys(preset.paths);
		for (const from of Object.keys(preset.map ?? {}))
			await ask(s, at, first, { model: from, credential: ours });
		assert.ok(!/sk-(env|client)/.test(await d.logged(peer.requests.length) + d.log), 'no key is ever logged');
	});

	scenario(`${name}: without a key anywhere the request goes out with none`, async (s) => {
		const peer = await providerOf(s, preset);
		const d = await daemonFor(s, name, peer);
		for (const path of Object.keys(preset.paths))
			await ask(s, { d, peer, preset }, path, {});
		// It is the provider's to refuse that, and the client's to hear it.
		const refusal = '{"error":{"message":"no key","type":"invalid_request_error"}}';
		peer.serve(() => ({ status: 401, reason: 'Unauthorized', body: refusal }));
		const [path] = Object.keys(preset.paths);
		const reply = await s.request(d, { path, json: { model: 'm' } });
		assert.deepEqual([reply.status, reply.text], [401, refusal]);
	});

	scenario(`${name}: as many requests as its limits say, on each path for itself`, async (s) => {
		const peer = await s.peer();
		peer.serve(() => ({ body: '{}' }));
		const d = await daemonFor(s, name, peer);
		const client = await s.connect(d);
		for (const path of Object.keys(preset.paths).filter((p) => !ENDPOINTS[p].form)) {
			const [perMinute, burst] = limitOf(preset, path);
			await exhaust(client, path, perMinute, burst);
		}
	});
}

// ---- what is translated

// Where each dialect is asked, and how it gets the key, if there is one.
const EMBED = '/v1/embeddings';
const bearer = (key) => (key ? { authorization: `Bearer ${key}` } : {});
const TRANSLATED = {
	anthropic: { [CHAT]: () => '/v1/messages', key: (key) => ({ ...(key ? { 'x-api-key': key } : {}), 'anthropic-version': '2023-06-01' }) },
	gemini: {
		[CHAT]: (model, stream) => `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
		[EMBED]: (model) => `/v1beta/models/${model}:batchEmbedContents`, key: (key) => (key ? { 'x-goog-api-key': key } : {}),
	},
	cohere: { [CHAT]: () => '/v2/chat', [EMBED]: () => '/v2/embed', key: bearer },
	ollama: { [CHAT]: () => '/api/chat', [COMPLETIONS]: () => '/api/generate', [EMBED]: () => '/api/embed', key: bearer },
};
const said = 'Hello, "world" ☃.';
const told = { parts: [{ text: said }], usage: { input: 7, output: 5 }, vectors: ['[0.25,-1.50]'] };
const BODIES = {
	[CHAT]: { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 50 },
	[COMPLETIONS]: { prompt: 'Hi', max_tokens: 50 },
	[EMBED]: { input: ['Hi'] },
};
// What a client reads in the reply, whole or streamed: [text, finish reason, tokens].
const READ = {
	[CHAT]: (reply) => [reply.choices[0].message?.content ?? reply.choices[0].delta?.content, reply.choices[0].finish_reason, reply.usage?.total_tokens],
	[COMPLETIONS]: (reply) => [reply.choices[0].text, reply.choices[0].finish_reason, reply.usage?.total_tokens],
};

async function translated(s, { d, seen, preset, name }, path, { model, stream = false, key, headers = {} }) {
	const shown = `${path} ${model}${stream ? ', streamed' : ''}`, at = TRANSLATED[preset.dialect];
	const reply = await s.request(d, { path, json: { model, ...BODIES[path], ...(stream ? { stream, stream_options: { include_usage: true } } : {}) },
		headers: { Connection: 'close', 'User-Agent': 'test/1', ...headers } });
	assert.equal(reply.status, 200, `${shown}: ${reply.text}`);
	assert.equal(reply.cut, false, shown);
	const target = preset.map[model] ?? model;
	assert.equal(reply.header('x-api-router-provider'), name);
	assert.equal(reply.header('x-api-router-model'), target, shown);
	const { request, ...got } = seen.at(-1);
	assert.equal(request.startLine, `POST ${(at[path] ?? at[CHAT])(target, stream)} HTTP/1.1`);
	const fields = ['user-agent', 'authorization', 'x-api-key', 'x-goog-api-key', 'anthropic-version'].map((n) => [n, request.header(n)]);
	assert.deepEqual(Object.fromEntries(fields.filter(([, value]) => value !== undefined)), { 'user-agent': preset.agent, ...at.key(key) }, shown);
	if (preset.accept.includes(path))
		assert.equal(request.header('accept'), ACCEPT, shown);
	if (path === EMBED) {
		assert.deepEqual([got.texts, reply.json.data, reply.json.object], [['Hi'], [{ object: 'embedding', index: 0, embedding: [0.25, -1.5] }], 'list']);
		return;
	}
	assert.deepEqual([got.model, got.stream, script(got), got.most], [target, stream, ['user: Hi'], 50], shown);
	if (!stream) {
		assert.deepEqual(READ[path](reply.json), [said, 'stop', 12], shown);
		return;
	}
	const events = reply.events;
	assert.equal(events.pop().data, '[DONE]', shown);
	assert.equal(JSON.parse(events.pop().data).usage.total_tokens, 12);
	const read = events.map((e) => READ[path](JSON.parse(e.data)));
	assert.equal(read.map(([piece]) => piece ?? '').join(''), said, shown);
	assert.deepEqual(read.map(([, stop]) => stop).filter(Boolean), ['stop'], shown);
}

for (const [name, preset] of Object.entries(PRESETS).filter(([, p]) => p.dialect))
	scenario(`${name}: chat, completions and embeddings in OpenAI's words, plain and streamed`, async (s) => {
		const peer = await s.peer(), seen = [];
		provide(peer, () => told, { cut: (text) => text.match(/[\s\S]{1,3}/gu), seen });
		const d = await daemonFor(s, name, peer, { DEFAULT_API_KEY: 'sk-env' });
		const at = { d, seen, preset, name };
		const [model] = Object.keys(preset.map);
		for (const path of [CHAT, COMPLETIONS])
			for (const stream of [false, true]) {
				await translated(s, at, path, { model, stream, key: 'sk-env' });
				await translated(s, at, path, { model: 'as-it-is', stream, key: 'sk-client', headers: { Authorization: 'Bearer sk-client' } });
			}
		for (const from of Object.keys(preset.map))
			await translated(s, at, CHAT, { model: from, key: 'sk-env' });
		let refused = 0;
		if (TRANSLATED[preset.dialect][EMBED]) {
			await translated(s, at, EMBED, { model, key: 'sk-env' });
			await translated(s, at, EMBED, { model: 'as-it-is', key: 'sk-client', headers: { Authorization: 'Bearer sk-client' } });
		} else {
			const before = seen.length;
			const reply = await s.request(d, { path: EMBED, json: { model, input: 'Hi' } });
			assert.ok([400, 404].includes(reply.status), `${reply.status}`);
			assert.match(reply.json.error.message, /embeddings|endpoint/);
			assert.equal(seen.length, before, 'the provider is not asked');
			refused++;
		}
		assert.ok(!/sk-(env|client)/.test(await d.logged(seen.length + refused) + d.log), 'no key is ever logged');
		const keyless = await daemonFor(s, name, peer);
		await translated(s, { ...at, d: keyless }, CHAT, { model });
	});

// Ask until it is refused, which must be with the request behind the burst, but for what has come back meanwhile.
// Without a limit: never.
async function exhaust(client, path, perMinute, burst) {
	const began = performance.now();
	for (let n = 1; ; n++) {
		const reply = await client.exchange({ path, json: { model: 'm' } });
		const back = Math.ceil((performance.now() - began) * perMinute / 60000);
		if (reply.status === 429) {
			assert.ok(n > burst, `${path}: request ${n} of ${burst} was refused`);
			assert.equal(reply.header('x-ratelimit-limit-requests'), String(perMinute), path);
			assert.ok(Number(reply.header('retry-after')) >= 1, path);
			return;
		}
		assert.equal(reply.status, 200, `${path}: ${reply.text}`);
		if (perMinute === 0 && n > 110)
			return;
		assert.ok(perMinute === 0 || n <= burst + back, `${path}: request ${n} was admitted, of ${burst}`);
	}
}

scenario('API_ROUTER_CONFIG_PATH names the preset, DEFAULT_API_KEY its key', async (s) => {
	const preset = PRESETS.qwen;
	const peer = await providerOf(s, preset);
	const written = s.command(textFor('qwen', peer));
	const port = await freePort();
	const d = s.command(null, { args: ['-p', String(port)], env: { API_ROUTER_CONFIG_PATH: written.configFile, DEFAULT_API_KEY: 'sk-default' } });
	await d.start();
	assert.equal(d.port, port);
	await ask(s, { d, peer, preset }, CHAT, { model: 'gpt-4', credential: { authorization: 'Bearer sk-default' } });
});

scenario('RATE_LIMIT_REQUESTS_PER_MINUTE and RATE_LIMIT_BURST are the general limit beside that of the preset', async (s) => {
	const peer = await s.peer();
	peer.serve(() => ({ body: '{}' }));
	const limits = (n, burst) => ({ RATE_LIMIT_REQUESTS_PER_MINUTE: String(n), RATE_LIMIT_BURST: String(burst) });
	const shown = await s.command(textFor('qwen', peer), { env: limits(6, 3) }).run('-T');
	const c = parseConf(shown.stdout);
	assert.deepEqual(c.rate_limit, { requests_per_minute: 6, burst: 3 });
	assert.deepEqual(c.providers.qwen.rate_limit, { requests_per_minute: 120, burst: 40 });
	for (const [name, env, path, perMinute, burst] of [
		['qwen', limits(6, 3), CHAT, 6, 3],
		['anthropic', limits(6, 3), MESSAGES, 6, 3],
		['qwen', limits(1000, 500), CHAT, 60, 25],
	]) {
		const d = await daemonFor(s, name, peer, env);
		await exhaust(await s.connect(d), path, perMinute, burst);
	}
	// One of them alone: no requests a minute is no limit, and a burst that is not said is 1.
	const alone = await daemonFor(s, 'anthropic', peer, { RATE_LIMIT_REQUESTS_PER_MINUTE: '6' });
	await exhaust(await s.connect(alone), MESSAGES, 6, 1);
	const idle = await daemonFor(s, 'anthropic', peer, { RATE_LIMIT_BURST: '2' });
	await exhaust(await s.connect(idle), MESSAGES, 0, 2);
});
