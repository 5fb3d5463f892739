// openapi-translated: replies of providers of other dialects are what etc/openapi.yaml says too: each client protocol at each native provider, whole and
// as a stream, with reasoning, calls and what was left out; refusals, errors and streams that fail.

import assert from 'node:assert/strict';
import { PROVIDERS, dialects, provide, providersAt, raw, text } from '../lib/dialects.mjs';
import { scenario } from '../lib/scenario.mjs';
import { ask, assertDescribed } from './openapi.mjs';

const CHAT = '/v1/chat/completions', COMPLETIONS = '/v1/completions', EMBEDDINGS = '/v1/embeddings', MESSAGES = '/v1/messages';
const CLIENTS = {
	[CHAT]: { own: 'openai', json: { messages: [{ role: 'user', content: 'a' }], stream_options: { include_usage: true } } },
	[COMPLETIONS]: { own: 'openai', json: { prompt: 'a', stream_options: { include_usage: true } } },
	[MESSAGES]: { own: 'anthropic', json: { max_tokens: 9, messages: [{ role: 'user', content: 'a' }] } },
};
// Every client protocol at every provider that does not speak it.
const PAIRS = Object.entries(CLIENTS).flatMap(([path, { own, json }]) =>
	PROVIDERS.filter((model) => model !== own).map((model) => [path, model, { model, ...json }]));
const FUNCTION = { name: 'f', description: 'finds', parameters: { type: 'object', properties: { a: { type: 'integer' } } } };
const TOOLS = {
	[CHAT]: { tools: [{ type: 'function', function: FUNCTION }, { type: 'custom', custom: { name: 'free' } }] },
	[COMPLETIONS]: {},
	[MESSAGES]: { tools: [{ name: 'f', input_schema: FUNCTION.parameters }] },
};
const ANSWERS = {
	text: { parts: [{ text: 'one ' }, { text: 'two' }], usage: { input: 9, output: 4, cached: 2 } },
	calls: { parts: [{ reasoning: 'hm', signature: 'c2ln' }, { text: 'Looking.' }, { call: { id: 'call_1', name: 'f', args: '{"a":9007199254740993}' } },
		{ call: { id: 'call_2', name: 'free', args: '{"input":"x"}' } }], usage: { input: 9, output: 8, reasoning: 1 } },
	length: { parts: [{ text: 'on' }], stop: 'length' },
};

scenario('answers of providers of other dialects, whole and streamed', async (s) => {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	for (const [name, answer] of Object.entries(ANSWERS)) {
		provide(peer, () => answer);
		for (const [path, model, json] of PAIRS) {
			if (path === COMPLETIONS && name === 'calls')
				continue; // there are no tools
			const request = { path, json: { ...json, ...TOOLS[path], unheard_of: 1 } };
			const required = ['x-api-router-model', 'x-api-router-dropped'];
			const reply = await ask(s, daemon, request, { required });
			assert.equal(reply.header('x-api-router-dropped'), 'unheard_of', `${path} at ${model}`);
			request.json.stream = true;
			const stream = await ask(s, daemon, request, { required });
			assert.ok(stream.events.length > 3, `${path} at ${model}`);
			assert.equal(stream.events.at(-1).data, path === MESSAGES ? '{"type":"message_stop"}' : '[DONE]');
		}
	}
});

scenario('what OpenAI has no field for stands where the document says', async (s) => {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	provide(peer, () => ANSWERS.calls);
	const at = async (model) => (await ask(s, daemon, { path: CHAT, json: { model, ...CLIENTS[CHAT].json, ...TOOLS[CHAT] } })).json.choices[0].message;
	const { reasoning_content, thinking_blocks, tool_calls } = await at('anthropic');
	assert.equal(reasoning_content, 'hm');
	assert.deepEqual(thinking_blocks, [{ type: 'thinking', thinking: 'hm', signature: 'c2ln' }]);
	assert.deepEqual(tool_calls.map((c) => c.function ?? c.custom), [{ name: 'f', arguments: '{"a":9007199254740993}' }, { name: 'free', input: 'x' }]);
	peer.serve(() => ({ body: text(dialects.gemini.response({ usage: {} }, 'g', [
		{ functionCall: { name: 'f', args: {} }, thoughtSignature: 'c2ln' }, { inlineData: { mimeType: 'image/png', data: 'AAAA' } }], 'STOP')) }));
	const drawn = await at('gemini');
	assert.deepEqual(drawn.tool_calls[0].extra_content, { google: { thought_signature: 'c2ln' } });
	assert.equal(drawn.images[0].image_url.url, 'data:image/png;base64,AAAA');
	const legacy = await ask(s, daemon, { path: CHAT, json: { model: 'gemini', ...CLIENTS[CHAT].json, functions: [FUNCTION] } });
	assert.deepEqual(legacy.json.choices[0].message.function_call, { name: 'f', arguments: '{}' });
});

scenario('embeddings, as numbers and in base64', async (s) => {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	const vector = raw('[0.25,-1]');
	for (const [model, body] of [['gemini', { embeddings: [{ values: vector }] }], ['cohere', { embeddings: { float: [vector] } }], ['ollama', { embeddings: [vector] }]]) {
		peer.serve(() => ({ body: text(body) }));
		for (const [encoding_format, embedding] of [['float', [0.25, -1]], ['base64', 'AACAPgAAgL8=']]) {
			const reply = await ask(s, daemon, { path: EMBEDDINGS, json: { model, input: 'a', encoding_format } });
			assert.deepEqual(reply.json.data[0].embedding, embedding);
		}
		await ask(s, daemon, { path: EMBEDDINGS, json: { model, input: [1] } }, { status: 400 });
	}
	await ask(s, daemon, { path: EMBEDDINGS, json: { model: 'anthropic', input: 'a' } }, { status: 400 });
});

scenario('what cannot be translated is refused in the shape of the path', async (s) => {
	const peer = await s.peer();
	const strict = Object.fromEntries(PROVIDERS.map((dialect) => [dialect, { unsupported: 'reject' }]));
	const daemon = await s.daemon({ providers: providersAt(peer, strict) });
	for (const [path, model, json] of PAIRS.filter(([path]) => path !== MESSAGES)) {
		const reply = await ask(s, daemon, { path, json: { ...json, unheard_of: 1 } }, { status: 400 });
		assert.match(reply.json.error.message, /unheard_of/);
		assert.equal(reply.json.error.param, 'unheard_of', `${path} at ${model}`);
	}
	// Claude Code has new fields in each version: only what is known and cannot be said is refused there
	const [, , json] = PAIRS.find(([path, at]) => path === MESSAGES && at === 'openai');
	const refused = await ask(s, daemon, { path: MESSAGES, json: { ...json, top_k: 1 } }, { status: 400 });
	assert.match(refused.json.error.message, /top_k/);
	assert.equal(peer.requests.length, 0);
	for (const model of PROVIDERS.filter((m) => m !== 'anthropic'))
		await ask(s, daemon, { path: `${MESSAGES}/count_tokens`, json: { model, messages: [] } }, { status: 404 });
	for (const model of PROVIDERS.filter((m) => m !== 'openai'))
		await ask(s, daemon, { path: '/v1/responses', json: { model, input: 'a' } }, { status: 400 });
});

// What becomes of a provider's status: at OpenAI's paths, at Anthropic's.
const STATUSES = [[400, 400, 400], [401, 502, 502], [402, 429, 402], [403, 403, 403], [404, 404, 404], [408, 504, 504], [409, 409, 409], [413, 413, 413],
	[418, 400, 400], [422, 400, 400], [429, 429, 429], [500, 502, 502], [503, 503, 529], [504, 504, 504], [529, 503, 529]];

scenario('errors of providers of other dialects have the shape of the path, and their message', async (s) => {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	for (const [status, openai, anthropic] of STATUSES) {
		provide(peer, () => ({ error: { status, message: 'not like this', headers: { 'Retry-After': '7' } } }));
		for (const [path, model, json] of PAIRS) {
			const expected = path === MESSAGES ? anthropic : openai;
			const required = ['x-api-router-provider', ...(expected === 429 ? ['retry-after'] : [])];
			const reply = await ask(s, daemon, { path, json }, { status: expected, required });
			assert.ok(status === 401 || reply.json.error.message === 'not like this', reply.text);
		}
	}
});

scenario('a stream that fails ends with an event that the document knows', async (s) => {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	const parts = 'one two three four five six'.split(' ').map((word) => ({ text: word }));
	for (const breaks of ['cut', 'error']) {
		provide(peer, () => ({ parts, breaks }));
		for (const [path, model, json] of PAIRS) {
			const request = { path, json: { ...json, stream: true } };
			const reply = assertDescribed(request, await s.request(daemon, request));
			if (breaks === 'error' && reply.status >= 502)
				continue; // it came with the first pieces, before the head had left
			assert.deepEqual([reply.status, reply.cut], [200, breaks === 'cut'], `${path} at ${model}`);
			assert.match(reply.events.at(-1).data, /"error":\{/);
		}
	}
});
