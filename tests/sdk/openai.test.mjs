// openai: the official OpenAI SDK against the daemon, with the echo provider and with an HTTPS provider of ours.

import assert from 'node:assert/strict';
import { scenario, until } from '../lib/scenario.mjs';
import { streamHead } from '../lib/peer.mjs';
import { chunk, sse } from '../lib/wire.mjs';
import { OPENAI, collect, daemonAndProvider, failure, sendStream } from './sdk.mjs';

const ask = (content, more = {}) => ({ model: 'echo', messages: [{ role: 'user', content }], ...more });
const piece = (delta, finish_reason = null, more = {}) => ({
	id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1790000000, model: 'm',
	choices: [{ index: 0, delta, logprobs: null, finish_reason }], ...more,
});
const call = (index, more) => ({ tool_calls: [{ index, ...more }] });
const TOOL_STREAM = [
	piece({ role: 'assistant', content: null }),
	piece(call(0, { id: 'call_01', type: 'function', function: { name: 'lookup', arguments: '' } })),
	piece(call(0, { function: { arguments: '{"id"' } })),
	piece(call(0, { function: { arguments: ':7}' } })),
	piece(call(1, { id: 'call_02', type: 'function', function: { name: 'lookup', arguments: '{"id":8}' } })),
	piece({}, 'tool_calls'),
	'[DONE]',
];
const COMPLETION = {
	id: 'chatcmpl-9', object: 'chat.completion', created: 1790000000, model: 'm',
	choices: [{ index: 0, message: { role: 'assistant', content: 'hello', refusal: null }, logprobs: null, finish_reason: 'stop' }],
	usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
};

for (const [sdk, OpenAI] of OPENAI) {
	const client = (daemon, more = {}) =>
		new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: 'sk-client', maxRetries: 0, ...more });

	scenario(`${sdk}: echo, plain and streamed, and its request id`, async (s) => {
		const { daemon } = await daemonAndProvider(s);
		const ai = client(daemon);
		const plain = await ai.chat.completions.create(ask('one two three'));
		assert.equal(plain.choices[0].message.content, 'one two three');
		assert.match(plain._request_id, /^[0-9a-f]{32}$/);
		const chunks = await collect(await ai.chat.completions.create(ask('one two three', { stream: true, stream_options: { include_usage: true } })));
		assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), 'one two three');
		assert.equal(chunks.at(-1).usage.total_tokens, plain.usage.total_tokens);
		const completion = await ai.completions.create({ model: 'echo', prompt: 'a b' });
		assert.equal(completion.choices[0].text, 'a b');
	});

	scenario(`${sdk}: the stream helper over echo`, async (s) => {
		const { daemon } = await daemonAndProvider(s);
		const ai = client(daemon);
		const chat = (ai.chat.completions.stream ? ai.chat : ai.beta.chat).completions;
		const text = [];
		const helper = chat.stream(ask('one two three')).on('content', (delta) => text.push(delta));
		const final = await helper.finalChatCompletion();
		assert.equal(final.choices[0].message.content, 'one two three');
		assert.equal(final.choices[0].finish_reason, 'stop');
		assert.equal(text.join(''), 'one two three');
	});

	scenario(`${sdk}: embeddings, which the SDK asks for in base64`, async (s) => {
		const { daemon } = await daemonAndProvider(s);
		const ai = client(daemon);
		const coded = await ai.embeddings.create({ model: 'echo', input: ['one', 'two'] });
		const floats = await ai.embeddings.create({ model: 'echo', input: ['one', 'two'], encoding_format: 'float' });
		assert.equal(coded.data.length, 2);
		for (const [i, { embedding }] of coded.data.entries()) {
			assert.ok(embedding.length > 1);
			assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
			embedding.forEach((x, k) => assert.ok(Math.abs(x - floats.data[i].embedding[k]) < 1e-6));
		}
	});

	scenario(`${sdk}: models`, async (s) => {
		const { daemon } = await daemonAndProvider(s);
		const ai = client(daemon);
		assert.deepEqual((await collect(ai.models.list())).map((m) => m.id), ['echo', 'slow', 'm', 'c']);
		assert.equal((await ai.models.retrieve('m')).id, 'm');
		const error = await failure(ai.models.retrieve('none'));
		assert.ok(error instanceof OpenAI.NotFoundError);
		assert.equal(error.code, 'model_not_found');
	});

	scenario(`${sdk}: an HTTPS provider, plain, with its own headers and our credential`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		provider.serve(() => ({ headers: { 'x-request-id': 'req_p' }, body: COMPLETION }));
		const { data, response } = await client(daemon).chat.completions.create(ask('hi', { model: 'm', seed: 7 })).withResponse();
		assert.deepEqual(data, COMPLETION);
		assert.equal(response.headers.get('x-upstream-request-id'), 'req_p');
		assert.equal(response.headers.get('x-api-router-provider'), 'openai');
		const [request] = provider.requests;
		assert.deepEqual(request.json, ask('hi', { model: 'm', seed: 7 }));
		assert.equal(request.header('authorization'), 'Bearer sk-provider');
		assert.equal(request.header('accept-encoding'), 'identity');
		assert.match(request.header('user-agent'), /OpenAI\/JS/);
		assert.equal(request.header('host'), new URL(provider.url).host);
	});

	scenario(`${sdk}: the stream helper with tools`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		provider.serve((request, conn) => sendStream(conn, TOOL_STREAM, 17));
		const ai = client(daemon);
		const chat = (ai.chat.completions.stream ? ai.chat : ai.beta.chat).completions;
		const tools = [{ type: 'function', function: { name: 'lookup', parameters: { type: 'object', properties: { id: { type: 'integer' } } } } }];
		const final = await chat.stream(ask('look', { model: 'm', tools })).finalChatCompletion();
		assert.equal(final.choices[0].finish_reason, 'tool_calls');
		assert.deepEqual(final.choices[0].message.tool_calls.map((t) => [t.id, t.type, t.function.name, t.function.arguments]), [
			['call_01', 'function', 'lookup', '{"id":7}'],
			['call_02', 'function', 'lookup', '{"id":8}'],
		]);
		assert.deepEqual(provider.requests[0].json.tools, tools);
	});

	scenario(`${sdk}: each status of the provider is the SDK's own class of error`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		const classes = {
			400: 'BadRequestError', 404: 'NotFoundError', 409: 'ConflictError', 422: 'UnprocessableEntityError',
			429: 'RateLimitError', 500: 'InternalServerError', 503: 'InternalServerError',
		};
		for (const [status, name] of Object.entries(classes)) {
			const error = { message: `no ${status}`, type: 'some_type', param: 'messages', code: 'some_code' };
			provider.serve(() => ({ status, body: { error } }));
			for (const stream of [false, true]) {
				const thrown = await failure(ai.chat.completions.create(ask('x', { model: 'm', stream })));
				assert.ok(thrown instanceof OpenAI[name], `${status}: ${thrown}`);
				assert.equal(thrown.status, Number(status));
				assert.match(thrown.message, new RegExp(`no ${status}`));
				assert.deepEqual([thrown.type, thrown.param, thrown.code], ['some_type', 'messages', 'some_code']);
				assert.match(thrown.requestID ?? thrown.request_id, /^[0-9a-f]{32}$/);
			}
		}
		provider.serve(() => ({ status: 401, body: { error: { message: 'bad key', type: 'invalid_request_error', param: null, code: 'invalid_api_key' } } }));
		const refused = await failure(ai.chat.completions.create(ask('x', { model: 'm' })));
		assert.equal(refused.status, 502, 'our key, not the client\'s, was refused');
		assert.ok(refused instanceof OpenAI.InternalServerError);
	});

	scenario(`${sdk}: the router's own errors`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		const unknown = await failure(ai.chat.completions.create(ask('x', { model: 'nobody-serves-this' })));
		assert.ok(unknown instanceof OpenAI.NotFoundError);
		assert.equal(unknown.code, 'model_not_found');
		assert.match(unknown.message, /nobody-serves-this/);
		provider.close();
		const refused = await failure(ai.chat.completions.create(ask('x', { model: 'm' })));
		assert.equal(refused.status, 502);
		assert.equal(refused.code, 'upstream_error');
	});

	scenario(`${sdk}: a stream that the provider cuts raises, after what had come`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		for (const how of ['cut', 'reset', 'end']) {
			provider.serve(async (request, conn) => {
				await conn.send(streamHead());
				await conn.send(chunk(sse(piece({ role: 'assistant', content: 'Hel' }))));
				await conn.send(chunk(sse(piece({ content: 'lo' }))));
				await until(() => text.join('') === 'Hello', 'the client has what was sent');
				conn[how]();
			});
			const text = [];
			const error = await failure((async () => {
				for await (const c of await ai.chat.completions.create(ask('x', { model: 'm', stream: true })))
					text.push(c.choices[0].delta.content ?? '');
			})());
			assert.ok(error instanceof OpenAI.APIError, `${how}: ${error}`);
			assert.equal(text.join(''), 'Hello');
			const line = await daemon.waitAccess((l) => l.end === 'upstream_error');
			assert.equal(line.status, 200);
		}
	});

	scenario(`${sdk}: abort in mid-stream closes the provider's connection`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const stream = await (async () => {
			const asked = client(daemon).chat.completions.create(ask('x', { model: 'm', stream: true }));
			const { conn } = await provider.request();
			await conn.send(streamHead());
			await conn.send(chunk(sse(piece({ role: 'assistant', content: 'a' }))));
			return { conn, events: await asked };
		})();
		for await (const c of stream.events) {
			assert.equal(c.choices[0].delta.content, 'a');
			break; // leaving the loop aborts the request
		}
		// The provider says nothing more, so that only the router's own watch can find the client gone.
		await stream.conn.closed(5000);
		const line = await daemon.waitAccess((l) => l.end === 'client_gone');
		assert.equal(line.stream, true);
	});

	scenario(`${sdk}: abort before the answer closes the provider's connection`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const abort = new AbortController();
		const asked = failure(client(daemon).chat.completions.create(ask('x', { model: 'm' }), { signal: abort.signal }));
		const { conn } = await provider.request();
		abort.abort();
		assert.ok((await asked) instanceof OpenAI.APIUserAbortError);
		await conn.closed(5000);
		await daemon.waitAccess((l) => l.end === 'client_gone');
	});

	scenario(`${sdk}: 429 and 503 with Retry-After are tried again by the SDK`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon, { maxRetries: 2 });
		for (const status of [429, 503]) {
			const before = provider.requests.length;
			const times = [];
			provider.serve((request, conn, n) => {
				times.push(Date.now());
				return n - before < 3
					? { status, headers: n - before === 1 ? { 'Retry-After': '1' } : { 'retry-after-ms': '1500' },
						body: { error: { message: 'later', type: 'rate_limit_error', param: null, code: null } } }
					: { body: COMPLETION };
			});
			const done = await ai.chat.completions.create(ask('x', { model: 'm' }));
			assert.equal(done.choices[0].message.content, 'hello');
			assert.equal(times.length, 3, `${status}`);
			assert.ok(times[1] - times[0] >= 900, 'Retry-After: 1 was obeyed');
			assert.ok(times[2] - times[1] >= 1400, 'retry-after-ms: 1500 was obeyed');
			assert.deepEqual(provider.requests.slice(before).map((r) => r.header('x-stainless-retry-count')), ['0', '1', '2']);
		}
	});

	scenario(`${sdk}: x-should-retry: false of the router is obeyed`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		provider.serve(() => ({ status: 401, body: { error: { message: 'bad key' } } }));
		const error = await failure(client(daemon, { maxRetries: 2 }).chat.completions.create(ask('x', { model: 'm' })));
		assert.equal(error.status, 502);
		assert.equal(provider.requests.length, 1);
	});

	scenario(`${sdk}: responses, plain and streamed`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		const response = {
			id: 'resp_1', object: 'response', created_at: 1790000000, status: 'completed', model: 'm', error: null,
			output: [{ type: 'message', id: 'msg_1', status: 'completed', role: 'assistant',
				content: [{ type: 'output_text', text: 'hello', annotations: [] }] }],
			usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 },
		};
		provider.serve(() => ({ body: response }));
		const plain = await ai.responses.create({ model: 'm', input: 'hi' });
		assert.equal(plain.output_text, 'hello');
		assert.equal(provider.requests.at(-1).target, '/v1/responses');

		const item = { item_id: 'msg_1', output_index: 0, content_index: 0 };
		const stream = [
			{ type: 'response.created', response: { ...response, status: 'in_progress', output: [] } },
			{ type: 'response.output_item.added', output_index: 0, item: { ...response.output[0], status: 'in_progress', content: [] } },
			{ type: 'response.content_part.added', ...item, part: { type: 'output_text', text: '', annotations: [] } },
			{ type: 'response.output_text.delta', ...item, delta: 'hel' },
			{ type: 'response.output_text.delta', ...item, delta: 'lo' },
			{ type: 'response.output_text.done', ...item, text: 'hello' },
			{ type: 'response.content_part.done', ...item, part: response.output[0].content[0] },
			{ type: 'response.output_item.done', output_index: 0, item: response.output[0] },
			{ type: 'response.completed', response },
		].map((e, sequence_number) => [e.type, { ...e, sequence_number }]);
		provider.serve((request, conn) => sendStream(conn, stream));
		const events = await collect(await ai.responses.create({ model: 'm', input: 'hi', stream: true }));
		assert.deepEqual(events.map((e) => e.type), stream.map(([type]) => type));
		assert.equal(events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join(''), 'hello');
		const line = await daemon.waitAccess((l) => l.path === '/v1/responses' && l.stream);
		assert.equal(line.input_tokens, 3);
		assert.equal(line.output_tokens, 4);
		assert.equal(line.end, 'complete');
	});
}
