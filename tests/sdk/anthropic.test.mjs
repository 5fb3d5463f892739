// anthropic: the official Anthropic SDK against the daemon, with the echo provider and with an HTTPS provider of ours.

import assert from 'node:assert/strict';
import { scenario, until } from '../lib/scenario.mjs';
import { streamHead } from '../lib/peer.mjs';
import { chunk, sse } from '../lib/wire.mjs';
import { ANTHROPIC, collect, daemonAndProvider, failure, sendStream } from './sdk.mjs';

const ask = (content, more = {}) => ({ model: 'echo', max_tokens: 100, messages: [{ role: 'user', content }], ...more });
const MESSAGE = {
	id: 'msg_01', type: 'message', role: 'assistant', model: 'c',
	content: [{ type: 'text', text: 'hello', citations: null }],
	stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 12, output_tokens: 3 },
};
const STREAM = [
	{ type: 'message_start', message: { id: 'msg_01', type: 'message', role: 'assistant', model: 'c', content: [], stop_reason: null,
		stop_sequence: null, usage: { input_tokens: 12, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 } } },
	{ type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
	{ type: 'ping' },
	{ type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Need the tool.' } },
	{ type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'c2ln' } },
	{ type: 'content_block_stop', index: 0 },
	{ type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
	{ type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Checking.' } },
	{ type: 'content_block_stop', index: 1 },
	{ type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 'toolu_01', name: 'weather', input: {} } },
	{ type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '{"city":' } },
	{ type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: ' "Oslo"}' } },
	{ type: 'content_block_stop', index: 2 },
	{ type: 'message_delta', delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 40 } },
	{ type: 'message_stop' },
].map((e) => [e.type, e]);

for (const [sdk, Anthropic] of ANTHROPIC) {
	const client = (daemon, more = {}) => new Anthropic({ baseURL: daemon.url, apiKey: 'sk-client', maxRetries: 0, ...more });

	scenario(`${sdk}: echo, plain, streamed and by the helper`, async (s) => {
		const { daemon } = await daemonAndProvider(s);
		const ai = client(daemon);
		const plain = await ai.messages.create(ask('one two three'));
		assert.deepEqual(plain.content.map((b) => [b.type, b.text]), [['text', 'one two three']]);
		assert.equal(plain.stop_reason, 'end_turn');
		assert.match(plain._request_id, /^[0-9a-f]{32}$/);

		const events = await collect(await ai.messages.create(ask('one two three', { stream: true })));
		assert.equal(events[0].type, 'message_start');
		assert.equal(events.at(-1).type, 'message_stop');
		assert.equal(events.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text).join(''), 'one two three');

		const text = [];
		const helper = ai.messages.stream(ask('one two three')).on('text', (delta) => text.push(delta));
		const final = await helper.finalMessage();
		assert.equal(final.content[0].text, 'one two three');
		assert.equal(text.join(''), 'one two three');
		assert.equal(final.usage.output_tokens, plain.usage.output_tokens);
	});

	scenario(`${sdk}: models in Anthropic's shape`, async (s) => {
		const { daemon } = await daemonAndProvider(s);
		const ai = client(daemon);
		const all = await collect(ai.models.list({ limit: 20 }));
		assert.deepEqual(all.map((m) => [m.type, m.id]), ['echo', 'slow', 'm', 'c'].map((id) => ['model', id]));
		assert.equal((await ai.models.retrieve('c')).id, 'c');
		const error = await failure(ai.models.retrieve('none'));
		assert.ok(error instanceof Anthropic.NotFoundError);
	});

	scenario(`${sdk}: an HTTPS provider, plain, with the client's version and our credential`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		provider.serve(() => ({ headers: { 'request-id': 'req_p' }, body: MESSAGE }));
		const { data, response } = await client(daemon).messages.create(ask('hi', { model: 'c' }),
			{ headers: { 'anthropic-beta': 'a-2025-01-01,b-2025-02-02' } }).withResponse();
		assert.deepEqual(data, MESSAGE);
		assert.equal(response.headers.get('x-upstream-request-id'), 'req_p');
		const [request] = provider.requests;
		assert.deepEqual(request.json, ask('hi', { model: 'c' }));
		assert.equal(request.target, '/v1/messages');
		assert.equal(request.header('x-api-key'), 'sk-provider');
		assert.equal(request.header('authorization'), undefined);
		assert.equal(request.header('anthropic-version'), sdk.includes(' 1.') ? '2026-10-21' : '2023-06-01');
		assert.equal(request.header('anthropic-beta'), 'a-2025-01-01,b-2025-02-02');
	});

	scenario(`${sdk}: messages.stream with thinking and a tool`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		provider.serve((request, conn) => sendStream(conn, STREAM, 23));
		const final = await client(daemon).messages.stream(ask('weather?', { model: 'c' })).finalMessage();
		assert.deepEqual(final.content.map((b) => b.type), ['thinking', 'text', 'tool_use']);
		assert.equal(final.content[0].signature, 'c2ln');
		assert.equal(final.content[1].text, 'Checking.');
		assert.deepEqual(final.content[2].input, { city: 'Oslo' });
		assert.equal(final.stop_reason, 'tool_use');
		assert.equal(final.usage.output_tokens, 40);
		const line = await daemon.waitAccess((l) => l.provider === 'anthropic');
		assert.equal(line.input_tokens, 12);
		assert.equal(line.output_tokens, 40);
	});

	scenario(`${sdk}: count_tokens`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		provider.serve(() => ({ body: { input_tokens: 2095 } }));
		const counted = await client(daemon).messages.countTokens({ model: 'c', messages: [{ role: 'user', content: 'hi' }] });
		assert.equal(counted.input_tokens, 2095);
		assert.equal(provider.requests[0].target, '/v1/messages/count_tokens');
	});

	scenario(`${sdk}: each status of the provider is the SDK's own class of error`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		const classes = {
			400: 'BadRequestError', 404: 'NotFoundError', 409: 'ConflictError', 422: 'UnprocessableEntityError',
			429: 'RateLimitError', 500: 'InternalServerError', 529: 'InternalServerError',
		};
		for (const [status, name] of Object.entries(classes)) {
			const body = { type: 'error', error: { type: 'some_error', message: `no ${status}` }, request_id: 'req_9' };
			provider.serve(() => ({ status, body }));
			for (const stream of [false, true]) {
				const thrown = await failure(ai.messages.create(ask('x', { model: 'c', stream })));
				assert.ok(thrown instanceof Anthropic[name], `${status}: ${thrown}`);
				assert.equal(thrown.status, Number(status));
				assert.deepEqual(thrown.error, body);
				assert.match(thrown.requestID, /^[0-9a-f]{32}$/);
			}
		}
	});

	scenario(`${sdk}: the router's own errors have Anthropic's shape`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		const unknown = await failure(ai.messages.create(ask('x', { model: 'nobody-serves-this' })));
		assert.ok(unknown instanceof Anthropic.NotFoundError);
		assert.equal(unknown.error.error.type, 'not_found_error');
		assert.equal(unknown.error.request_id, unknown.requestID);
		provider.close();
		const refused = await failure(ai.messages.create(ask('x', { model: 'c' })));
		assert.equal(refused.status, 502);
		assert.equal(refused.error.error.type, 'api_error');
	});

	scenario(`${sdk}: a stream that the provider cuts raises, after what had come`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon);
		for (const how of ['cut', 'reset', 'end']) {
			let seen = 0;
			provider.serve(async (request, conn) => {
				await conn.send(streamHead());
				for (const [name, data] of STREAM.slice(0, 5))
					await conn.send(chunk(sse(data, name)));
				await until(() => seen >= 4, 'the client has what was sent');
				conn[how]();
			});
			const error = await failure((async () => {
				for await (const event of await ai.messages.create(ask('x', { model: 'c', stream: true })))
					seen += event.type === 'ping' ? 0 : 1;
			})());
			assert.ok(error instanceof Anthropic.APIError, `${how}: ${error}`);
			assert.equal(error.error?.error?.type ?? JSON.parse(error.message).error.type, 'api_error');
			assert.equal(seen, 4);
		}
	});

	scenario(`${sdk}: abort in mid-stream closes the provider's connection`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const stream = client(daemon).messages.stream(ask('x', { model: 'c' }));
		stream.on('error', () => {});
		stream.on('abort', () => {});
		const { conn } = await provider.request();
		await conn.send(streamHead());
		const started = new Promise((done) => stream.once('streamEvent', done));
		await conn.send(chunk(sse(STREAM[0][1], STREAM[0][0])));
		await started;
		stream.abort();
		await conn.closed(5000);
		await daemon.waitAccess((l) => l.end === 'client_gone');
	});

	scenario(`${sdk}: 429 and 529 with Retry-After are tried again by the SDK`, async (s) => {
		const { daemon, provider } = await daemonAndProvider(s);
		const ai = client(daemon, { maxRetries: 2 });
		for (const status of [429, 529]) {
			const before = provider.requests.length;
			const times = [];
			provider.serve((request, conn, n) => {
				times.push(Date.now());
				return n === before + 1
					? { status, headers: { 'Retry-After': '1' }, body: { type: 'error', error: { type: 'overloaded_error', message: 'later' } } }
					: { body: MESSAGE };
			});
			assert.equal((await ai.messages.create(ask('x', { model: 'c' }))).content[0].text, 'hello');
			assert.equal(times.length, 2, `${status}`);
			assert.ok(times[1] - times[0] >= 900, 'Retry-After: 1 was obeyed');
		}
	});
}
