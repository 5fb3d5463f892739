// stream: event streams on the wire: every event in its turn and untouched, heartbeats between them, a client that reads slowly or
// goes, a provider that ends too early, and replies of the other kind than the client asked for.

import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { streamHead } from '../lib/peer.mjs';
import { limit, scenario, underValgrind, until } from '../lib/scenario.mjs';
import { chunk, events, LAST_CHUNK, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
// Every request comes on a connection of its own, so that a test can take them one by one.
const fresh = { connections: { idle: 0 } };
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], ...fresh, ...more });
const anthropic = (peer, more = {}) => ({ dialect: 'anthropic', base_url: peer.url, models: ['c'], ...fresh, ...more });
const both = (peer, more = {}) => ({ providers: { p: openai(peer), a: anthropic(peer) }, ...more });

const delta = (content, finish = null, more = {}) =>
	`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: content === null ? {} : { content }, finish_reason: finish }], ...more })}\n\n`;
const named = (type, more = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const DONE = 'data: [DONE]\n\n';
// How much the daemon may grow where memory must stay flat; sanitizers and valgrind keep what is freed.
const FLAT = underValgrind || /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') ? 512 << 20 : 1 << 20;
const MESSAGE_START = named('message_start', { message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'c', content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 7, output_tokens: 1 } } });
const BLOCK_START = named('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
const BLOCK_DELTA = named('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'hi' } });
const MESSAGE_END = named('content_block_stop', { index: 0 }) +
	named('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 9 } }) + named('message_stop');

const DIALECTS = {
	chat: { path: CHAT, json: { model: 'm', stream: true }, first: delta('hi'), end: delta(null, 'stop') + DONE },
	messages: { path: '/v1/messages', json: { model: 'c', max_tokens: 9, stream: true }, first: MESSAGE_START + BLOCK_START + BLOCK_DELTA, end: MESSAGE_END },
	responses: {
		path: '/v1/responses', json: { model: 'm', stream: true, input: 'x' },
		first: named('response.created', { response: { id: 'r', status: 'in_progress' } }) + named('response.output_text.delta', { delta: 'hi' }),
		end: named('response.completed', { response: { id: 'r', status: 'completed', usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 } } }),
	},
};

// A stream under way: the client has read the head and `first`.
async function begin(s, d, provider, { path, json, first, head = streamHead(), version }) {
	const client = await s.connect(d);
	await client.request({ path, json, version });
	const { conn } = await provider.request();
	await conn.send(head);
	await conn.send(chunk(first));
	const reply = await client.readHead();
	assert.equal((await reply.until(first.slice(-20))).toString(), first);
	return { client, conn, reply, id: reply.header('x-request-id') };
}

// The error that an SDK of this dialect raises on, which must be the last event.
function assertErrorEvent(dialect, last, pattern) {
	const data = JSON.parse(last.data);
	if (dialect === 'chat') {
		assert.equal(last.event, undefined);
		assert.match(data.error.message, pattern);
		assert.equal(typeof data.error.type, 'string');
	} else if (dialect === 'messages') {
		assert.equal(last.event, 'error');
		assert.equal(data.type, 'error');
		assert.match(data.error.message, pattern);
	} else {
		assert.equal(last.event, 'response.failed');
		assert.equal(data.type, 'response.failed');
		assert.equal(data.response.status, 'failed');
		assert.match(data.response.error.message, pattern);
	}
}

scenario('each event is with the client before the provider sends the next, in every dialect', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	for (const [name, { path, json, first, end }] of Object.entries(DIALECTS)) {
		const { client, conn, reply, id } = await begin(s, d, provider, { path, json, first });
		assert.equal(reply.header('content-type'), 'text/event-stream; charset=utf-8');
		for (let n = 0; n < 20; n++) {
			const event = `data: {"n":${n}}\n\n`;
			await conn.send(chunk(event));
			assert.equal((await reply.until('\n\n')).toString(), event, name);
		}
		await conn.send(Buffer.concat([chunk(end), LAST_CHUNK]));
		await reply.finish();
		assert.equal(reply.done, true, name);
		assert.equal((await d.waitAccess(id)).end, 'complete', name);
		client.destroy();
	}
});

const SHAPES = {
	'LF': delta('a') + delta(null, 'stop') + DONE,
	'CRLF': (delta('a') + delta(null, 'stop') + DONE).replace(/\n/g, '\r\n'),
	'CR': (delta('a') + delta(null, 'stop') + DONE).replace(/\n/g, '\r'),
	'ids, names, comments, retry and unknown fields': `: hello\n\nid: 7\nevent: x\nretry: 10\nwhat: ever\n${delta('a')}: in between\n: twice\n${delta(null, 'stop')}\n\n\n${DONE}: after\n`,
	'data on two lines, no space': 'data:{"choices":[{"index":0,\ndata:"delta":{},"finish_reason":"stop"}]}\n\ndata:[DONE]\n\n',
	'[DONE] without its blank line': `${delta('a')}${delta(null, 'stop')}data: [DONE]`,
	'[DONE] with one line end': `${delta('a')}${delta(null, 'stop')}data: [DONE]\n`,
	'[DONE] with spaces behind it': `${delta('a')}${delta(null, 'stop')}data: [DONE]  \n\n`,
	'bytes after [DONE]': `${delta('a')}${delta(null, 'stop')}${DONE}: bye\n\ndata: more\n\n`,
	'no [DONE] after the finish': delta('a') + delta(null, 'stop'),
	'[DONE] alone': DONE,
	'[DONE] in the text': delta('data: [DONE]\n\n') + delta(null, 'stop') + DONE,
	'a byte-order mark': `\ufeff${delta('a')}${delta(null, 'stop')}${DONE}`,
	'an unnamed event first': `data\n\ndata:\n\nevent: only\n\n${delta(null, 'stop')}${DONE}`,
};

scenario('the bytes of a stream are the provider\'s, wherever its writes are cut', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const client = await s.connect(d);
	let asked = 0;
	for (const [name, text] of Object.entries(SHAPES)) {
		const body = Buffer.from(text);
		const cuts = [body.length, 1, 2, 7, 64].map((size) => Array(Math.ceil(body.length / size)).fill(size));
		for (let at = 1; at < Math.min(body.length, 400); at += 13)
			cuts.push([at, body.length]);
		for (const sizes of cuts) {
			provider.serve(async (request, conn) => {
				let at = 0;
				await conn.send(streamHead());
				for (const size of sizes) {
					await conn.send(chunk(body.subarray(at, at + size)));
					at += size;
					if (sizes.length < 5)
						await new Promise((resolve) => setTimeout(resolve, 1));
				}
				return LAST_CHUNK;
			});
			const reply = await client.exchange({ path: CHAT, json: { model: 'm', stream: true } });
			asked++;
			assert.ok(reply.body.equals(body), `${name}, cut ${sizes.slice(0, 3)}: ${JSON.stringify(reply.text)}`);
			assert.equal(reply.cut, false);
		}
	}
	const lines = await until(() => d.access.length === asked && d.access, 'each has its line');
	assert.ok(lines.every((line) => line.end === 'complete'), 'each of them is a normal end');
});

scenario('heartbeats: a comment and one LF, only between events', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, stream: { heartbeat: 0.2 } });
	const { conn, reply } = await begin(s, d, provider, DIALECTS.chat);
	await reply.until(': keep-alive\n: keep-alive\n');
	const half = delta('split');
	const from = reply.body.length;
	await conn.send(chunk(half.slice(0, 30)));
	await new Promise((resolve) => setTimeout(resolve, 500));
	await conn.send(chunk(half.slice(30) + DIALECTS.chat.end));
	await conn.send(LAST_CHUNK);
	await reply.finish();
	const rest = reply.body.subarray(from).toString();
	assert.match(rest, /^(: keep-alive\n)*data: /, 'nothing but whole comments before the event');
	assert.equal(rest.replace(/^: keep-alive\n/gm, ''), half + DIALECTS.chat.end);
	assert.equal(reply.text.replace(/^: keep-alive\n/gm, ''), DIALECTS.chat.first + half + DIALECTS.chat.end);
	assert.ok(!/keep-alive\n\n/.test(reply.text), 'one LF only');
});

scenario('heartbeats: none before the provider\'s head, a commit without an event once it is in', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider, { stream: { heartbeat: 0.2 } }));
	for (const dialect of ['chat', 'messages']) {
		const { path, json, first, end } = DIALECTS[dialect];
		const client = await s.connect(d);
		await client.request({ path, json });
		const { conn } = await provider.request();
		assert.ok(await client.silent(500), 'nothing is sent before the provider has answered');
		await conn.send(streamHead());
		const reply = await client.readHead();
		assert.equal(reply.status, 200);
		if (dialect === 'chat')
			await reply.until(': keep-alive\n: keep-alive\n');
		else
			assert.ok(await client.silent(500), 'no ping before message_start');
		await conn.send(chunk(first));
		await reply.until(first.slice(-20));
		if (dialect === 'messages')
			assert.equal((await reply.until('\n\n')).toString(), 'event: ping\ndata: {"type":"ping"}\n\n');
		await conn.send(Buffer.concat([chunk(end), LAST_CHUNK]));
		await reply.finish();
		assert.equal(reply.done, true);
		assert.equal(reply.text.replace(/^: keep-alive\n|event: ping\ndata: {"type":"ping"}\n\n/gm, ''), first + end);
		client.destroy();
	}
});

scenario('heartbeats while a mislabelled reply has not begun do not fix its framing', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, stream: { heartbeat: 0.2 } });
	const body = JSON.stringify({ id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }] });
	for (const type of ['text/plain', 'application/json', 'text/event-stream']) {
		const client = await s.connect(d);
		await client.request({ path: CHAT, json: { model: 'm', stream: true } });
		const { conn } = await provider.request();
		await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': type, 'Content-Length': body.length }));
		await new Promise((resolve) => setTimeout(resolve, 500));
		await conn.send(body);
		const reply = await client.readReply();
		assert.equal(reply.framing, 'chunked', type);
		assert.match(reply.header('content-type'), /^text\/event-stream/, type);
		assert.equal(reply.done, true, type);
		assert.equal(reply.events.at(-1).data, '[DONE]', type);
		assert.equal(reply.events.slice(0, -1).map((e) => JSON.parse(e.data).choices[0]?.delta.content ?? '').join(''), 'hello', type);
		assert.ok(await client.silent(50), 'and nothing behind it');
		client.destroy();
		conn.destroy();
	}
});

scenario('a client that stops reading stops the provider, memory stays flat, and everything arrives in the end', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, timeouts: { send: 60 } });
	const { client, conn, reply } = await begin(s, d, provider, DIALECTS.chat);
	client.pause();
	const before = d.pss();
	const total = 200 << 20;
	const event = Buffer.from(delta('y'.repeat(65400)));
	let offered = 0;
	const writing = (async () => {
		while (offered < total) {
			await conn.send(chunk(event));
			offered += event.length;
		}
		await conn.send(Buffer.concat([chunk(DIALECTS.chat.end), LAST_CHUNK]));
	})();
	let last = -1;
	await until(async () => {
		const same = offered === last;
		last = offered;
		await new Promise((resolve) => setTimeout(resolve, 300));
		return same;
	}, 'the provider is held up');
	assert.ok(offered < 32 << 20, `the provider could write ${offered} bytes`);
	const grown = d.pss() - before;
	assert.ok(grown < FLAT, `the daemon grew by ${grown} bytes`);

	let got = 0;
	let tail = Buffer.alloc(0);
	const ended = new Promise((resolve) => {
		client.socket.removeAllListeners('data');
		client.socket.on('data', (data) => {
			got += data.length;
			tail = Buffer.concat([tail, data]).subarray(-400);
			if (tail.includes('\r\n0\r\n\r\n'))
				resolve();
		});
	});
	client.resume();
	await writing;
	await ended;
	assert.ok(got >= offered, `${got} of ${offered} bytes`);
	assert.ok(tail.toString().includes(DONE), 'up to its end');
	const line = await d.waitAccess(reply.header('x-request-id'));
	assert.equal(line.end, 'complete');
	assert.equal(line.bytes_out, DIALECTS.chat.first.length + offered + DIALECTS.chat.end.length);
	assert.ok(d.pss() - before < FLAT, 'and flat afterwards');
}, { ms: 60000 });

scenario('a client that has gone: the provider is let go at once', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	for (const how of ['end', 'reset'])
		for (const { path, json, first } of Object.values(DIALECTS)) {
			const { client, conn, id } = await begin(s, d, provider, { path, json, first });
			const started = Date.now();
			client[how]();
			await conn.closed();
			assert.ok(Date.now() - started < limit(500), `${how}: ${Date.now() - started} ms`);
			const line = await d.waitAccess(id);
			assert.equal(line.end, 'client_gone');
			assert.equal(line.status, 200);
		}
	// Also before the provider has said anything.
	const client = await s.connect(d);
	await client.request({ path: CHAT, headers: { 'X-Request-Id': 'early' }, json: { model: 'm', stream: true } });
	const { conn } = await provider.request();
	client.end();
	await conn.closed(1000);
	assert.equal((await d.waitAccess('early')).end, 'client_gone');
});

scenario('a client that has gone while the provider is held up', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const { client, conn, id } = await begin(s, d, provider, DIALECTS.chat);
	client.pause();
	let stop = false;
	const event = chunk(delta('y'.repeat(65000)));
	const writing = (async () => {
		for (let n = 0; n < 1000 && !stop; n++)
			await conn.send(event);
	})();
	await new Promise((resolve) => setTimeout(resolve, 500));
	const started = Date.now();
	client.reset();
	await conn.closed();
	stop = true;
	await writing;
	assert.ok(Date.now() - started < limit(500));
	assert.equal((await d.waitAccess(id)).end, 'client_gone');
});

const ENDINGS = {
	'closes between events without a finish': { act: (conn) => conn.end(), end: 'upstream_error', message: /cut short/ },
	'ends properly without a finish': { act: (conn) => conn.send(LAST_CHUNK), end: 'upstream_error', message: /cut short/ },
	'closes in the middle of an event': { act: (conn) => conn.send(chunk('data: {"choices":[{"ind')).then(() => conn.end()), end: 'upstream_error', message: /cut short/ },
	'closes in the middle of a chunk': { act: (conn) => conn.send('50\r\ndata: {"x":').then(() => conn.end()), end: 'upstream_error', message: /cut short/ },
	'resets': { act: (conn) => conn.reset(), end: 'upstream_error', message: /reset/ },
	'breaks its chunks': { act: (conn) => conn.send('nonsense\r\n'), end: 'upstream_error', message: /not valid HTTP/ },
	'falls silent': { act: () => {}, end: 'timeout', message: /timeouts\.idle/ },
	'falls silent in the middle of an event': { act: (conn) => conn.send(chunk('data: {"x":')), end: 'timeout', message: /timeouts\.idle/ },
};
for (const [name, { act, end, message: pattern }] of Object.entries(ENDINGS)) {
	scenario(`a provider that ${name}: the error event of the dialect, and a visible cut`, async (s) => {
		const provider = await s.peer();
		const d = await s.daemon(both(provider, { timeouts: { idle: 0.5 } }));
		for (const [dialect, { path, json, first }] of Object.entries(DIALECTS)) {
			const { client, conn, reply, id } = await begin(s, d, provider, { path, json, first });
			await act(conn);
			await reply.finish();
			assert.equal(reply.cut, true, `${dialect}: no terminating chunk`);
			assert.ok(reply.text.startsWith(first), dialect);
			const after = reply.text.slice(first.length);
			assert.ok(after.endsWith('\n\n'), dialect);
			const more = events(after);
			assert.equal(more.length, 1, `${dialect}: ${after}`);
			assertErrorEvent(dialect, more[0], pattern);
			assert.equal(await client.closed(), 'end', dialect);
			const line = await d.waitAccess(id);
			assert.equal(line.end, end, dialect);
			assert.equal(line.status, 200, dialect);
			await conn.closed();
		}
	});
}

scenario('a provider that closes in the middle of a large event: a cut, and no error event where none can stand', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const { conn, reply, id } = await begin(s, d, provider, DIALECTS.chat);
	const half = `data: {"x":"${'y'.repeat(100000)}`;
	await conn.send(chunk(half));
	conn.end();
	await reply.finish();
	assert.equal(reply.cut, true);
	assert.equal(reply.text, DIALECTS.chat.first + half);
	assert.equal((await d.waitAccess(id)).end, 'upstream_error');
});

scenario('before the first event a failure is an honest status', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider, { timeouts: { first_byte: 0.5, idle: 0.5 } }));
	for (const dialect of Object.keys(DIALECTS))
		for (const [act, status] of [
			[(conn) => conn.end(), 502], [(conn) => conn.reset(), 502], [(conn) => conn.send(LAST_CHUNK), 502],
			[(conn) => conn.send(chunk('data: {"x')).then(() => conn.end()), 502], [() => {}, 504],
		]) {
			const { path, json } = DIALECTS[dialect];
			const client = await s.connect(d);
			await client.request({ path, json });
			const { conn } = await provider.request();
			await conn.send(streamHead());
			await act(conn);
			const reply = await client.readReply();
			assert.equal(reply.status, status, `${dialect}: ${reply.text}`);
			assert.equal(reply.header('content-type'), 'application/json');
			assert.equal(reply.header('x-should-retry'), status === 504 ? 'false' : undefined);
			assert.equal(reply.json.error.type, dialect === 'messages' ? (status === 504 ? 'timeout_error' : 'api_error') : reply.json.error.type);
			assert.equal(reply.done, true);
			assert.equal((await d.waitAccess(reply.header('x-request-id'))).end, status === 504 ? 'timeout' : 'upstream_error');
			client.destroy();
			conn.destroy();
		}
});

scenario('the provider\'s own error event is passed on, and is the end', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	const own = { chat: 'data: {"error":{"message":"Overloaded","type":"server_error"}}\n\n', messages: named('error', { error: { type: 'overloaded_error', message: 'Overloaded' } }) };
	for (const [dialect, event] of Object.entries(own)) {
		const { path, json, first } = DIALECTS[dialect];
		const { conn, reply } = await begin(s, d, provider, { path, json, first });
		await conn.send(Buffer.concat([chunk(event), LAST_CHUNK]));
		await reply.finish();
		assert.equal(reply.text, first + event, dialect);
		assert.equal(reply.cut, false, dialect);
	}
});

scenario('usage reaches the access log from wherever it stands', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	const usage = { prompt_tokens: 11, completion_tokens: 22, total_tokens: 33 };
	const at = (model, choices, more) => `data: ${JSON.stringify({ id: 'x', model, choices, ...more })}\n\n`;
	const finish = [{ index: 0, delta: {}, finish_reason: 'stop' }];
	for (const [name, path, model, body, input, output] of [
		['usage chunk', CHAT, 'm', delta('a') + delta(null, 'stop') + at('m', [], { usage }) + DONE, 11, 22],
		['on the finish chunk', CHAT, 'm', delta('a') + at('m', finish, { usage }) + DONE, 11, 22],
		['on every chunk, cumulative', CHAT, 'm', at('m', [], { usage: { prompt_tokens: 11, completion_tokens: 1 } }) + at('m', finish, { usage }) + DONE, 11, 22],
		['null on others', CHAT, 'm', at('m', [{ index: 0, delta: { content: 'a' } }], { usage: null }) + at('m', finish, { usage: null }) + at('m', [], { usage }) + DONE, 11, 22],
		['null afterwards', CHAT, 'm', at('m', finish, { usage }) + at('m', [], { usage: null }) + DONE, 11, 22],
		['legacy completions', '/v1/completions', 'm', at('m', [{ index: 0, text: 'a', finish_reason: 'stop' }], { usage }) + DONE, 11, 22],
		['message_start and message_delta', '/v1/messages', 'c', DIALECTS.messages.first + MESSAGE_END, 7, 9],
		['responses', '/v1/responses', 'm', DIALECTS.responses.first + DIALECTS.responses.end, 3, 4],
		['none', CHAT, 'm', delta('a') + delta(null, 'stop') + DONE, undefined, undefined],
	]) {
		for (const size of [1 << 20, 5]) {
			const data = Buffer.from(body);
			provider.serve(async (request, conn) => {
				await conn.send(streamHead());
				for (let from = 0; from < data.length; from += size)
					await conn.send(chunk(data.subarray(from, from + size)));
				return LAST_CHUNK;
			});
			const reply = await s.request(d, { path, json: { model, stream: true } });
			assert.equal(reply.text, body, name);
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.equal(line.input_tokens ?? undefined, input, name);
			assert.equal(line.output_tokens ?? undefined, output, name);
			assert.equal(line.usage, input === undefined ? 'none' : 'provider', name);
			assert.equal(line.stream, true);
		}
	}
});

const COMPLETION = { id: 'chatcmpl-1', object: 'chat.completion', created: 5, model: 'm', system_fingerprint: 'fp', choices: [{ index: 0, message: { role: 'assistant', content: 'Hello \ud83d\ude00' }, finish_reason: 'length', logprobs: null }], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } };
const MESSAGE = { id: 'msg_9', type: 'message', role: 'assistant', model: 'c', content: [{ type: 'text', text: 'Hello' }, { type: 'tool_use', id: 't', name: 'f', input: { a: 1 } }], stop_reason: 'tool_use', stop_sequence: null, usage: { input_tokens: 4, output_tokens: 5 } };

scenario('a JSON answer to a streamed request becomes a stream, whatever it is called', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	for (const type of ['application/json', 'application/json; charset=utf-8', 'text/plain', 'text/event-stream'])
		for (const include of [false, true]) {
			provider.serve(() => ({ headers: { 'Content-Type': type }, body: ` \n\n${JSON.stringify(COMPLETION)}` }));
			const chat = await s.request(d, { path: CHAT, json: { model: 'm', stream: true, ...(include ? { stream_options: { include_usage: true } } : {}) } });
			assert.match(chat.header('content-type'), /^text\/event-stream/, type);
			const all = chat.events;
			assert.equal(all.at(-1).data, '[DONE]');
			const chunks = all.slice(0, -1).map((e) => JSON.parse(e.data));
			assert.ok(chunks.every((c) => c.object === 'chat.completion.chunk' && c.id === 'chatcmpl-1' && c.model === 'm'));
			const choices = chunks.flatMap((c) => c.choices);
			assert.equal(choices[0].delta.role, 'assistant');
			assert.equal(choices.map((c) => c.delta.content ?? '').join(''), 'Hello \ud83d\ude00');
			assert.equal(choices.at(-1).finish_reason, 'length');
			assert.deepEqual(chunks.filter((c) => c.usage).map((c) => [c.choices.length, c.usage]), include ? [[0, COMPLETION.usage]] : []);
			const line = await d.waitAccess(chat.header('x-request-id'));
			assert.deepEqual([line.input_tokens, line.output_tokens, line.end, line.stream], [1, 2, 'complete', true]);
		}
	for (const type of ['application/json', 'text/plain']) {
		provider.serve(() => ({ headers: { 'Content-Type': type }, body: MESSAGE }));
		const reply = await s.request(d, { path: '/v1/messages', json: { model: 'c', stream: true } });
		assert.match(reply.header('content-type'), /^text\/event-stream/);
		const all = reply.events;
		assert.ok(all.every((e) => e.event === JSON.parse(e.data).type));
		assert.deepEqual([all[0].event, all.at(-1).event], ['message_start', 'message_stop']);
		const text = all.map((e) => JSON.parse(e.data).delta?.text ?? '').join('');
		const input = all.map((e) => JSON.parse(e.data).delta?.partial_json ?? '').join('');
		assert.equal(text, 'Hello');
		assert.deepEqual(JSON.parse(input), { a: 1 });
		assert.equal(JSON.parse(all.at(-2).data).delta.stop_reason, 'tool_use');
	}
});

scenario('an event stream that answers a plain request becomes one reply, whatever it is called', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	const tool = (more) => delta(null, null).replace('"delta":{}', `"delta":{"tool_calls":[${JSON.stringify(more)}]}`);
	const stream = delta('').replace('"content":""', '"role":"assistant","content":""') + ': comment\n\n' + delta('Hel') + delta('lo \ud83d\ude00') +
		tool({ index: 0, id: 't', type: 'function', function: { name: 'f', arguments: '' } }) + tool({ index: 0, function: { arguments: '{"a":' } }) + tool({ index: 0, function: { arguments: '1.0}' } }) +
		delta(null, 'tool_calls') + `data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n`;
	for (const type of ['text/event-stream', 'application/json', 'text/plain', 'application/octet-stream'])
		for (const tail of [DONE, '', 'data: [DONE]'])
			for (const size of [1 << 20, 3]) {
				provider.serve(async (request, conn) => {
					await conn.send(streamHead({ 'Content-Type': type }));
					const data = Buffer.from(stream + tail);
					for (let at = 0; at < data.length; at += size)
						await conn.send(chunk(data.subarray(at, at + size)));
					return LAST_CHUNK;
				});
				const reply = await s.request(d, { path: CHAT, json: { model: 'm' } });
				assert.equal(reply.status, 200, reply.text);
				assert.equal(reply.header('content-type'), 'application/json');
				assert.equal(reply.header('content-length'), String(reply.body.length));
				const { object, choices, usage } = reply.json;
				assert.equal(object, 'chat.completion');
				assert.equal(choices[0].message.role, 'assistant');
				assert.equal(choices[0].message.content, 'Hello \ud83d\ude00');
				assert.deepEqual(choices[0].message.tool_calls, [{ id: 't', type: 'function', function: { name: 'f', arguments: '{"a":1.0}' } }]);
				assert.equal(choices[0].finish_reason, 'tool_calls');
				assert.deepEqual(usage, { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 });
			}
	provider.serve((request, conn) => conn.send(streamHead()).then(() => Buffer.concat([chunk(MESSAGE_START + BLOCK_START + BLOCK_DELTA + MESSAGE_END), LAST_CHUNK])));
	const reply = await s.request(d, { path: '/v1/messages', json: { model: 'c' } });
	assert.equal(reply.json.type, 'message');
	assert.deepEqual(reply.json.content, [{ type: 'text', text: 'hi' }]);
	assert.equal(reply.json.stop_reason, 'end_turn');
	assert.equal(reply.json.usage.output_tokens, 9);
});

scenario('an event stream that answers a plain request and is cut, or holds an error, is a 502', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(both(provider));
	for (const [tail, pattern] of [
		[LAST_CHUNK, /cut short/], [null, /cut short/],
		[Buffer.concat([chunk('data: {"error":{"message":"The engine is on fire","type":"server_error"}}\n\n'), LAST_CHUNK]), /The engine is on fire/],
	]) {
		const client = await s.connect(d);
		await client.request({ path: CHAT, json: { model: 'm' } });
		const { conn } = await provider.request();
		await conn.send(Buffer.concat([streamHead(), chunk(delta('a'))]));
		if (tail)
			await conn.send(tail);
		else
			conn.end();
		const reply = await client.readReply();
		assert.equal(reply.status, 502, reply.text);
		assert.match(reply.json.error.message, pattern);
		client.destroy();
	}
});

scenario('an event of 16 MB passes with memory flat', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const { client, conn, reply } = await begin(s, d, provider, DIALECTS.chat);
	const before = d.pss();
	const piece = Buffer.alloc(1 << 20, 'y');
	let most = 0;
	await conn.send(chunk('data: {"choices":[{"index":0,"delta":{"content":"'));
	let sent = 'data: {"choices":[{"index":0,"delta":{"content":"'.length;
	for (let n = 0; n < 16; n++) {
		await conn.send(chunk(piece));
		sent += piece.length;
		await client.wait(() => client.total >= sent, 'most of the event');
		if (n % 4 === 3)
			most = Math.max(most, d.pss() - before);
	}
	const rest = `"},"finish_reason":null}]}\n\n${DIALECTS.chat.end}`;
	await conn.send(Buffer.concat([chunk(rest), LAST_CHUNK]));
	await reply.finish();
	assert.equal(reply.done, true);
	assert.equal(reply.body.length, DIALECTS.chat.first.length + sent + rest.length);
	assert.ok(reply.text.endsWith(rest));
	assert.ok(most < FLAT, `it grew by ${most} bytes`);
	client.destroy();
});

scenario('a stream that comes coded is passed on as it is, with nothing put in; one that has to be read is decoded', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, stream: { heartbeat: 0.2 } });
	const body = gzipSync(DIALECTS.chat.first + DIALECTS.chat.end);
	const client = await s.connect(d);
	await client.request({ path: CHAT, json: { model: 'm', stream: true } });
	const { conn } = await provider.request();
	await conn.send(streamHead({ 'Content-Encoding': 'gzip' }));
	await new Promise((resolve) => setTimeout(resolve, 300));
	await conn.send(chunk(body.subarray(0, 40)));
	await new Promise((resolve) => setTimeout(resolve, 300));
	await conn.send(Buffer.concat([chunk(body.subarray(40)), LAST_CHUNK]));
	const reply = await client.readReply();
	assert.equal(reply.header('content-encoding'), 'gzip');
	assert.match(reply.header('content-type'), /^text\/event-stream/);
	assert.ok(reply.body.equals(body));
	assert.equal(reply.cut, false);

	provider.serve(async (request, to) => {
		await to.send(streamHead({ 'Content-Encoding': provider.coding }));
		await to.send(Buffer.concat([chunk(body), LAST_CHUNK]));
	});
	provider.coding = 'gzip';
	const whole = await s.request(d, { path: CHAT, json: { model: 'm' } });
	assert.deepEqual([whole.status, whole.header('content-encoding'), whole.json.choices[0].message.content], [200, undefined, 'hi']);
	provider.coding = 'zstd';
	const refused = await s.request(d, { path: CHAT, json: { model: 'm' } });
	assert.equal(refused.status, 502);
	assert.match(refused.json.error.message, /its reply cannot be understood \(zstd\)/);
});

scenario('an HTTP/1.0 client gets the stream up to the close; a cut one is reset', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const whole = await begin(s, d, provider, { ...DIALECTS.chat, version: 'HTTP/1.0' });
	assert.equal(whole.reply.framing, 'close');
	assert.equal(whole.reply.header('connection'), 'close');
	await whole.conn.send(Buffer.concat([chunk(DIALECTS.chat.end), LAST_CHUNK]));
	await whole.reply.finish();
	assert.equal(whole.reply.done, true);
	assert.equal(whole.reply.text, DIALECTS.chat.first + DIALECTS.chat.end);
	assert.equal(await whole.client.closed(), 'end');

	const cut = await begin(s, d, provider, { ...DIALECTS.chat, version: 'HTTP/1.0' });
	cut.conn.end();
	await cut.reply.finish();
	assertErrorEvent('chat', events(cut.reply.text.slice(DIALECTS.chat.first.length))[0], /cut short/);
	assert.equal((await d.waitAccess(cut.id)).end, 'upstream_error');

	// A reset that comes alone, not in one readiness with data: those node cannot tell from an end.
	const inside = await begin(s, d, provider, { ...DIALECTS.chat, version: 'HTTP/1.0' });
	const half = `data: {"x":"${'y'.repeat(100000)}`;
	await inside.conn.send(chunk(half));
	await inside.reply.until(half);
	inside.conn.end();
	await inside.reply.finish();
	assert.equal(inside.reply.cut, true);
	assert.equal(await inside.client.closed(), 'reset');
	assert.equal(inside.reply.text, DIALECTS.chat.first + half);

	// An HTTP/1.0 client may end its side after the request and still wait.
	const waiting = await s.connect(d);
	await waiting.request({ path: CHAT, version: 'HTTP/1.0', json: { model: 'm', stream: true } });
	waiting.end();
	const { conn } = await provider.request();
	await conn.send(Buffer.concat([streamHead(), chunk(DIALECTS.chat.first + DIALECTS.chat.end), LAST_CHUNK]));
	const reply = await waiting.readReply();
	assert.equal(reply.text, DIALECTS.chat.first + DIALECTS.chat.end);
});

scenario('a provider that frames a stream by its close, or by a length', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = DIALECTS.chat.first + DIALECTS.chat.end;
	const ask = async (head, text) => {
		const client = await s.connect(d);
		await client.request({ path: CHAT, json: { model: 'm', stream: true } });
		const { conn } = await provider.request();
		await conn.send(head + text);
		conn.end();
		const reply = await client.readReply();
		client.destroy();
		return reply;
	};
	const closing = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';
	const whole = await ask(closing, body);
	assert.equal(whole.text, body);
	assert.equal(whole.cut, false);
	const cut = await ask(closing, DIALECTS.chat.first);
	assert.equal(cut.cut, true, 'an end without a finish is no end');
	const length = `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: ${body.length}\r\n\r\n`;
	const counted = await ask(length, body);
	assert.equal(counted.text, body);
	assert.equal(counted.framing, 'chunked');
	assert.equal((await ask(length, DIALECTS.chat.first)).cut, true);
});
