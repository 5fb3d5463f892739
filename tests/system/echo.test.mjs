// echo: the provider that answers itself, and the paths that the router answers itself, on the wire.

import assert from 'node:assert/strict';
import { scenario } from '../lib/scenario.mjs';

const CONFIG = {
	providers: {
		echo: { dialect: 'echo', models: ['echo', 'other'] },
		slow: { dialect: 'echo', models: ['slow'], echo: { first_byte: 0.2, interval: 0.05 } },
	},
};
const ask = (text, more = {}) => ({ model: 'echo', messages: [{ role: 'user', content: text }], ...more });
const HEX32 = /^[0-9a-f]{32}$/;

function headersOfRouter(reply, provider = 'echo', model = 'echo') {
	assert.match(reply.header('x-request-id'), HEX32);
	assert.equal(reply.header('x-api-router-provider'), provider);
	assert.equal(reply.header('x-api-router-model'), model);
	assert.match(reply.header('server-timing'), /^router;dur=\d+(\.\d+)?, upstream;dur=\d+(\.\d+)?$/);
	assert.equal(reply.headers('date').length, 1);
	assert.equal(reply.header('server'), undefined);
}

function openaiError(reply, status, { type, code, message }) {
	assert.equal(reply.status, status, reply.text);
	assert.match(reply.header('content-type'), /^application\/json/);
	const { error } = reply.json;
	assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
	assert.equal(error.type, type);
	assert.equal(error.code, code);
	assert.match(error.message, message);
}

function anthropicError(reply, status, { type, message }) {
	assert.equal(reply.status, status, reply.text);
	assert.equal(reply.json.type, 'error');
	assert.equal(reply.json.error.type, type);
	assert.match(reply.json.error.message, message);
	assert.equal(reply.json.request_id, reply.header('request-id'));
	assert.equal(reply.json.request_id, reply.header('x-request-id'));
}

scenario('a chat completion says the last user message again', async (s) => {
	const d = await s.daemon(CONFIG);
	const text = 'Grüße, "world"\n\ud83d\ude00 and \\ more';
	const reply = await s.request(d, {
		path: '/v1/chat/completions',
		json: { model: 'echo', messages: [
			{ role: 'system', content: 'Be brief.' },
			{ role: 'user', content: 'first' },
			{ role: 'assistant', content: 'first' },
			{ role: 'user', content: text },
		] },
	});
	assert.equal(reply.status, 200);
	assert.match(reply.header('content-type'), /^application\/json/);
	assert.equal(reply.header('content-length'), String(reply.body.length));
	headersOfRouter(reply);
	const { id, object, created, model, choices, usage } = reply.json;
	assert.match(id, /^chatcmpl-/);
	assert.equal(object, 'chat.completion');
	assert.ok(Math.abs(created - Date.now() / 1000) < 60);
	assert.equal(model, 'echo');
	assert.equal(choices.length, 1);
	assert.equal(choices[0].index, 0);
	assert.equal(choices[0].finish_reason, 'stop');
	assert.equal(choices[0].message.role, 'assistant');
	assert.equal(choices[0].message.content, text);
	assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
	assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);

	const line = await d.waitAccess(reply.header('x-request-id'));
	assert.equal(line.method, 'POST');
	assert.equal(line.path, '/v1/chat/completions');
	assert.equal(line.model, 'echo');
	assert.equal(line.provider, 'echo');
	assert.equal(line.target_model, 'echo');
	assert.equal(line.status, 200);
	assert.equal(line.stream, false);
	assert.equal(line.bytes_out, reply.body.length);
	assert.equal(line.input_tokens, usage.prompt_tokens);
	assert.equal(line.output_tokens, usage.completion_tokens);
	assert.equal(line.usage, 'provider');
	assert.equal(line.end, 'complete');
	assert.equal(line.client_ip, '127.0.0.1');
});

scenario('content parts are text too', async (s) => {
	const d = await s.daemon(CONFIG);
	const reply = await s.request(d, {
		path: '/v1/chat/completions',
		json: ask([{ type: 'text', text: 'one two' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }]),
	});
	assert.equal(reply.status, 200, reply.text);
	assert.equal(reply.json.choices[0].message.content, 'one two');
});

scenario('a streamed chat: role first, one finish, [DONE]; usage only when it was asked for', async (s) => {
	const d = await s.daemon(CONFIG);
	const text = 'one two  three\nfour \u00e9 \ud83d\ude00';
	for (const include of [false, true]) {
		const reply = await s.request(d, {
			path: '/v1/chat/completions',
			json: ask(text, { stream: true, ...(include ? { stream_options: { include_usage: true } } : {}) }),
		});
		assert.equal(reply.status, 200);
		assert.match(reply.header('content-type'), /^text\/event-stream/);
		assert.match(reply.header('cache-control'), /no-cache/);
		assert.equal(reply.header('x-accel-buffering'), 'no');
		headersOfRouter(reply);
		const all = reply.events;
		assert.equal(all.at(-1).data, '[DONE]');
		assert.ok(all.every((e) => e.event === undefined));
		const chunks = all.slice(0, -1).map((e) => JSON.parse(e.data));
		for (const c of chunks) {
			assert.equal(c.object, 'chat.completion.chunk');
			assert.equal(c.id, chunks[0].id);
			assert.equal(c.created, chunks[0].created);
			assert.equal(c.model, 'echo');
			assert.ok(Array.isArray(c.choices));
		}
		const choices = chunks.flatMap((c) => c.choices);
		assert.equal(choices[0].delta.role, 'assistant');
		assert.equal(choices.map((c) => c.delta.content ?? '').join(''), text);
		assert.ok(choices.filter((c) => c.delta.content).length >= 4, 'word by word');
		assert.deepEqual(choices.map((c) => c.finish_reason).filter((f) => f !== null), ['stop']);
		assert.equal(choices.at(-1).finish_reason, 'stop');
		const last = chunks.at(-1);
		if (include) {
			assert.deepEqual(last.choices, []);
			assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
			assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
		} else {
			assert.ok(chunks.every((c) => !c.usage));
			assert.equal(last.choices.length, 1);
		}
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.equal(line.stream, true);
		assert.equal(line.end, 'complete');
	}
});

scenario('each event of a slow stream comes when it is said, not at the end', async (s) => {
	const d = await s.daemon(CONFIG);
	const c = await s.connect(d);
	await c.request({ path: '/v1/chat/completions', json: { ...ask('a b c d e f g h'), model: 'slow', stream: true } });
	const reply = await c.readHead();
	assert.ok(await reply.event());
	const first = Date.now();
	assert.equal(reply.done, false);
	while (await reply.event())
		;
	assert.ok(Date.now() - first >= 200, 'all came at once');
	assert.equal(reply.done, true);
});

scenario('completions: plain and streamed', async (s) => {
	const d = await s.daemon(CONFIG);
	const path = '/v1/completions';
	const plain = await s.request(d, { path, json: { model: 'echo', prompt: 'to be or not' } });
	assert.equal(plain.status, 200, plain.text);
	assert.equal(plain.json.object, 'text_completion');
	assert.equal(plain.json.choices[0].text, 'to be or not');
	assert.equal(plain.json.choices[0].finish_reason, 'stop');
	assert.equal(plain.json.usage.total_tokens, plain.json.usage.prompt_tokens + plain.json.usage.completion_tokens);
	const streamed = await s.request(d, { path, json: { model: 'echo', prompt: 'to be or not', stream: true } });
	const all = streamed.events;
	assert.equal(all.at(-1).data, '[DONE]');
	const chunks = all.slice(0, -1).map((e) => JSON.parse(e.data));
	assert.ok(chunks.every((c) => c.object === 'text_completion'));
	assert.equal(chunks.flatMap((c) => c.choices).map((c) => c.text).join(''), 'to be or not');
	assert.equal(chunks.flatMap((c) => c.choices).at(-1).finish_reason, 'stop');
});

scenario('embeddings: unit vectors, the same for the same text, float and base64 alike', async (s) => {
	const d = await s.daemon(CONFIG);
	const path = '/v1/embeddings';
	const floats = await s.request(d, { path, json: { model: 'echo', input: ['one', 'two', 'one'] } });
	assert.equal(floats.status, 200, floats.text);
	const { object, model, data, usage } = floats.json;
	assert.equal(object, 'list');
	assert.equal(model, 'echo');
	assert.deepEqual(data.map((e) => [e.object, e.index]), [['embedding', 0], ['embedding', 1], ['embedding', 2]]);
	for (const { embedding } of data) {
		assert.equal(embedding.length, data[0].embedding.length);
		assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3, 'unit length');
	}
	assert.deepEqual(data[0].embedding, data[2].embedding);
	assert.notDeepEqual(data[0].embedding, data[1].embedding);
	assert.equal(usage.total_tokens, usage.prompt_tokens);

	const coded = await s.request(d, { path, json: { model: 'echo', input: ['one', 'two'], encoding_format: 'base64' } });
	for (const [i, { embedding }] of coded.json.data.entries()) {
		const raw = Buffer.from(embedding, 'base64');
		assert.equal(raw.length, 4 * data[i].embedding.length);
		data[i].embedding.forEach((x, k) => assert.ok(Math.abs(raw.readFloatLE(4 * k) - x) < 1e-6));
	}
	const one = await s.request(d, { path, json: { model: 'echo', input: 'one', dimensions: 8 } });
	assert.equal(one.json.data.length, 1);
	assert.equal(one.json.data[0].embedding.length, 8);
	assert.ok(Math.abs(Math.hypot(...one.json.data[0].embedding) - 1) < 1e-3);
});

scenario('messages: plain', async (s) => {
	const d = await s.daemon(CONFIG);
	const reply = await s.request(d, {
		path: '/v1/messages?beta=true', headers: { 'anthropic-version': '2023-06-01' },
		json: { model: 'echo', max_tokens: 100, system: 'Be brief.', messages: [{ role: 'user', content: [{ type: 'text', text: 'one two' }] }] },
	});
	assert.equal(reply.status, 200, reply.text);
	headersOfRouter(reply);
	assert.equal(reply.header('request-id'), reply.header('x-request-id'));
	const m = reply.json;
	assert.match(m.id, /^msg_/);
	assert.equal(m.type, 'message');
	assert.equal(m.role, 'assistant');
	assert.equal(m.model, 'echo');
	assert.deepEqual(m.content.map(({ type, text }) => ({ type, text })), [{ type: 'text', text: 'one two' }]);
	assert.equal(m.stop_reason, 'end_turn');
	assert.equal(m.stop_sequence, null);
	assert.ok(m.usage.input_tokens > 0 && m.usage.output_tokens > 0);
});

scenario('messages: the native stream events in their order, each named', async (s) => {
	const d = await s.daemon(CONFIG);
	const reply = await s.request(d, {
		path: '/v1/messages', headers: { 'anthropic-version': '2023-06-01' },
		json: { model: 'echo', max_tokens: 100, stream: true, messages: [{ role: 'user', content: 'one two three' }] },
	});
	assert.match(reply.header('content-type'), /^text\/event-stream/);
	const all = reply.events.map((e) => ({ name: e.event, ...JSON.parse(e.data) })).filter((e) => e.type !== 'ping');
	assert.ok(all.every((e) => e.name === e.type));
	const deltas = all.filter((e) => e.type === 'content_block_delta');
	assert.deepEqual(all.map((e) => e.type), ['message_start', 'content_block_start',
		...deltas.map((e) => e.type), 'content_block_stop', 'message_delta', 'message_stop']);
	assert.equal(all[0].message.role, 'assistant');
	assert.deepEqual(all[0].message.content, []);
	assert.equal(all[0].message.stop_reason, null);
	assert.ok(all[0].message.usage.input_tokens > 0);
	assert.deepEqual(all[1].content_block.type, 'text');
	assert.ok(all.filter((e) => 'index' in e).every((e) => e.index === 0));
	assert.ok(deltas.every((e) => e.delta.type === 'text_delta'));
	assert.equal(deltas.map((e) => e.delta.text).join(''), 'one two three');
	assert.ok(deltas.length >= 3);
	assert.equal(all.at(-2).delta.stop_reason, 'end_turn');
	assert.ok(all.at(-2).usage.output_tokens > 0);
});

scenario('models: both shapes, one and all', async (s) => {
	const d = await s.daemon(CONFIG);
	const list = (await s.request(d, { path: '/v1/models' })).json;
	assert.equal(list.object, 'list');
	assert.deepEqual(list.data.map((m) => m.id), ['echo', 'other', 'slow']);
	for (const m of list.data) {
		assert.equal(m.object, 'model');
		assert.ok(Math.abs(m.created - Date.now() / 1000) < 600);
		assert.equal(typeof m.owned_by, 'string');
	}
	assert.deepEqual((await s.request(d, { path: '/v1/models/other' })).json, list.data[1]);
	openaiError(await s.request(d, { path: '/v1/models/none' }), 404,
		{ type: 'invalid_request_error', code: 'model_not_found', message: /none/ });

	const headers = { 'anthropic-version': '2023-06-01', Connection: 'close' };
	const page = (await s.request(d, { path: '/v1/models?limit=20', headers })).json;
	assert.deepEqual(page.data.map((m) => [m.type, m.id]), [['model', 'echo'], ['model', 'other'], ['model', 'slow']]);
	assert.equal(page.has_more, false);
	assert.equal(page.first_id, 'echo');
	assert.equal(page.last_id, 'slow');
	for (const m of page.data) {
		assert.equal(typeof m.display_name, 'string');
		assert.ok(!Number.isNaN(Date.parse(m.created_at)));
	}
	assert.deepEqual((await s.request(d, { path: '/v1/models/other', headers })).json, page.data[1]);
});

scenario('GET / and /health', async (s) => {
	const d = await s.daemon(CONFIG);
	const root = await s.request(d, { path: '/' });
	assert.equal(root.status, 200);
	assert.match(root.text, /^api-router \d+\.\d+\.\d+\n$/);
	const health = await s.request(d, { path: '/health' });
	assert.equal(health.status, 200);
	assert.equal(health.json.status, 'ok');
	assert.match(health.json.version, /^\d+\.\d+\.\d+$/);
	assert.ok(health.json.workers, 'loopback shows the details');
});

scenario('HEAD is the head of GET and no body; the connection goes on', async (s) => {
	const d = await s.daemon(CONFIG);
	const c = await s.connect(d);
	for (const path of ['/', '/health', '/v1/models', '/v1/models/echo', '/v1/models/none']) {
		const get = await c.exchange({ path });
		const head = await c.exchange({ method: 'HEAD', path });
		assert.equal(head.status, get.status, path);
		assert.equal(head.header('content-length'), String(get.body.length), path);
		assert.equal(head.header('content-type'), get.header('content-type'), path);
		assert.equal(c.available, 0, `${path}: a body after HEAD`);
	}
});

scenario('OPTIONS gets Allow, another method 405 with Allow, in the shape of the path', async (s) => {
	const d = await s.daemon(CONFIG);
	const c = await s.connect(d);
	const methods = (reply) => reply.header('allow').split(/, */).sort();
	for (const [path, allowed, wrong] of [
		['/v1/chat/completions', ['OPTIONS', 'POST'], 'GET'],
		['/v1/messages', ['OPTIONS', 'POST'], 'DELETE'],
		['/v1/models', ['GET', 'HEAD', 'OPTIONS'], 'PUT'],
		['/health', ['GET', 'HEAD', 'OPTIONS'], 'POST'],
	]) {
		const options = await c.exchange({ method: 'OPTIONS', path });
		assert.ok(options.status === 200 || options.status === 204, `${path}: ${options.status}`);
		assert.deepEqual(methods(options), allowed, path);
		assert.equal(options.body.length, 0);
		const refused = await c.exchange({ method: wrong, path });
		assert.deepEqual(methods(refused), allowed, path);
		if (path === '/v1/messages')
			anthropicError(refused, 405, { type: 'invalid_request_error', message: /DELETE/ });
		else
			openaiError(refused, 405, { type: 'invalid_request_error', code: null, message: new RegExp(wrong) });
	}
});

scenario('an unknown path is a 404 that names the known ones; one without /v1 is told so', async (s) => {
	const d = await s.daemon(CONFIG);
	openaiError(await s.request(d, { path: '/v1/nothing' }), 404,
		{ type: 'invalid_request_error', code: null, message: /\/v1\/chat\/completions.*\/v1\/messages/s });
	openaiError(await s.request(d, { path: '/chat/completions', json: ask('x') }), 404,
		{ type: 'invalid_request_error', code: null, message: /\/v1\/chat\/completions/ });
	anthropicError(await s.request(d, { path: '/v1/messages/nothing', json: {} }), 404,
		{ type: 'not_found_error', message: /\/v1\/messages/ });
});

scenario('a model that nobody serves is a 404 that says so', async (s) => {
	const d = await s.daemon(CONFIG);
	const openai = await s.request(d, { path: '/v1/chat/completions', json: { ...ask('x'), model: 'gpt-9' } });
	openaiError(openai, 404, { type: 'invalid_request_error', code: 'model_not_found', message: /gpt-9/ });
	assert.equal((await d.waitAccess(openai.header('x-request-id'))).end, 'refused');
	const headers = { 'anthropic-version': '2023-06-01', Connection: 'close' };
	anthropicError(await s.request(d, { path: '/v1/messages', headers, json: { ...ask('x'), model: 'claude-9', max_tokens: 1 } }),
		404, { type: 'not_found_error', message: /claude-9/ });
});

scenario('a path that echo does not answer is refused and named', async (s) => {
	const d = await s.daemon(CONFIG);
	const reply = await s.request(d, { path: '/v1/responses', json: { model: 'echo', input: 'x' } });
	openaiError(reply, 400, { type: 'invalid_request_error', code: null, message: /\/v1\/chat\/completions/ });
});

scenario('the request id of the client is kept when it is fit, else made', async (s) => {
	const d = await s.daemon(CONFIG);
	const id = async (given) =>
		(await s.request(d, { path: '/', headers: { 'X-Request-Id': given, Connection: 'close' } })).headers('x-request-id');
	assert.deepEqual(await id('abc-123_:/'), ['abc-123_:/']);
	assert.deepEqual(await id('x'.repeat(128)), ['x'.repeat(128)]);
	for (const unfit of ['x'.repeat(129), 'two words', '', 'caf\u00e9']) {
		const [made, ...more] = await id(unfit);
		assert.match(made, HEX32);
		assert.deepEqual(more, []);
	}
});

scenario('each digit of a request id that is made is as good as any other', async (s) => {
	const MANY = 400;
	const d = await s.daemon(CONFIG);
	const client = await s.connect(d);
	const ids = new Set();
	for (let i = 0; i < MANY; i++)
		ids.add((await client.exchange({ path: '/health' })).header('x-request-id'));
	assert.equal(ids.size, MANY);
	for (let at = 0; at < 32; at++)
		for (const digit of '0123456789abcdef') {
			const n = [...ids].filter((id) => id[at] === digit).length; // 25, give or take 5
			assert.ok(n < MANY / 5, `${n} of ${MANY} have ${digit} at ${at}`);
		}
});
