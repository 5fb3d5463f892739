// passthrough: with the same dialect on both sides the bodies are the client's and the provider's own, byte for byte,
// but for the value of `model`; headers cross by the rules; credentials go as `credential` says.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { reply as replyBytes, streamHead } from '../lib/peer.mjs';
import { scenario } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const OK = { id: 'x', object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }] };
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], ...more });
const anthropic = (peer, more = {}) => ({ dialect: 'anthropic', base_url: peer.url, models: ['c'], ...more });

// Bodies with MODEL where the value of `model` stands (with its quotes).
const REQUESTS = {
	'an ordinary chat': '{"model":MODEL,"messages":[{"role":"user","content":"hi"}]}',
	'model last, odd white space': ' \t\r\n{ "messages" :\n[ ] ,\t"temperature"\r:0.70 , "model"  :\n MODEL \t}\r\n\n ',
	'model in the middle': '{"a":1,"model":MODEL,"b":2}',
	'numbers keep their digits':
		'{"model":MODEL,"seed":1234567890123456789,"a":[1.0,1e400,-0,-0.0,1E+2,0.1000,9007199254740993,18446744073709551615,1e-400]}',
	'duplicate nested keys': '{"model":MODEL,"x":{"k":1,"k":2,"model":"a","model":"b"},"messages":[{"model":"m","stream":1,"stream":2}]}',
	'escapes stay as they are':
		'{"model":MODEL,"messages":[{"role":"user","content":"\\u0000 \\ud83d \\udc00\\ud83d \\u003c \\/ \\u2028 \\uD83D\\uDE00 \\b\\f\\n\\r\\t\\"\\\\"}]}',
	'an escaped name of model': '{"mod\\u0065l":MODEL,"x":"model","\\u006dessages":[]}',
	'UTF-8 as it is': '{"model":MODEL,"messages":[{"role":"user","content":"Gr\u00fc\u00dfe \ud83d\ude00 \u2028 \u0000"}]}'.replace('\u0000', ''),
	'unknown fields, nulls and empties': '{"top_k":40,"":null,"model":MODEL,"tools":[],"stop":null,"stream":false,"o":{},"s":""}',
	'nesting': `{"model":MODEL,"deep":${'[{"a":'.repeat(100)}null${'}]'.repeat(100)}}`,
	'a value that looks like the model': '{"x":"\\"model\\":\\"m\\"","model":MODEL,"y":["model","m"]}',
};
const REPLIES = {
	'numbers and escapes': '{"id":"x","choices":[],"n":1.0,"big":12345678901234567890,"e":1e400,"s":"\\u0000\\ud83d\\/","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}',
	'white space before and after': '\n\n \r\n {"a" : [ 1 , 2 ] }\n\n',
	'not JSON at all': '<html>\0\xff oops</html>',
	empty: '',
};

const chatHeaders = { Authorization: 'Bearer sk-client' };

scenario('requests arrive as they were sent, with the length they had', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const c = await s.connect(d);
	for (const [name, template] of Object.entries(REQUESTS)) {
		const body = Buffer.from(template.replace('MODEL', '"m"'));
		for (const how of [{}, { chunked: 7 }, { chunked: true }, { pieces: 3 }]) {
			const reply = await c.exchange({ path: CHAT, body, ...how });
			assert.equal(reply.status, 200, `${name}: ${reply.text}`);
			const got = provider.requests.at(-1);
			assert.ok(got.body.equals(body), `${name}, ${JSON.stringify(how)}: ${got.text}`);
			assert.deepEqual(got.headers('content-length'), [String(body.length)], name);
			assert.equal(got.header('transfer-encoding'), undefined);
			assert.equal(got.startLine, 'POST /v1/chat/completions HTTP/1.1');
		}
	}
	assert.equal(provider.connections.length, 1, 'one kept connection served them all');
});

scenario('the value of model is replaced and nothing else', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({
		providers: { p: openai(provider, { models: [], model_map: [{ from: 'short', to: 'a-much-longer/name "quoted"' }, { from: 'm-1', to: 'x' }] }) },
		routes: [{ model: '*', provider: 'p' }],
	});
	const c = await s.connect(d);
	const mapped = '"a-much-longer/name \\"quoted\\""';
	for (const [name, template] of Object.entries(REQUESTS)) {
		for (const [sent, expected] of [['"short"', mapped], ['"sh\\u006frt"', mapped], ['"m\\u002D1"', '"x"'], ['"other"', '"other"']]) {
			const reply = await c.exchange({ path: CHAT, body: Buffer.from(template.replace('MODEL', sent)) });
			assert.equal(reply.status, 200, `${name}: ${reply.text}`);
			assert.equal(provider.requests.at(-1).text, template.replace('MODEL', () => expected), name);
		}
	}
	// A name that nothing maps goes on in the spelling that the client chose.
	await c.exchange({ path: CHAT, body: '{"model":"\\u006fther"}' });
	assert.equal(provider.requests.at(-1).text, '{"model":"\\u006fther"}');
});

scenario('5 MB of base64, model first and last, by length and in chunks', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: { p: openai(provider, { models: [], model_map: [{ from: 'm', to: 'mapped' }] }) },
		routes: [{ model: '*', provider: 'p' }] });
	const image = `data:image/png;base64,${randomBytes(3_750_000).toString('base64')}`;
	const messages = `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"${image}"}}]}]`;
	for (const template of [`{"model":MODEL,${messages}}`, `{${messages},"model":MODEL}`]) {
		for (const how of [{}, { chunked: 65536 }]) {
			const reply = await s.request(d, { path: CHAT, body: template.replace('MODEL', '"m"'), ...how, ms: 30000 });
			assert.equal(reply.status, 200, reply.text);
			const expected = Buffer.from(template.replace('MODEL', '"mapped"'));
			const got = provider.requests.at(-1);
			assert.ok(got.body.equals(expected), `${template.slice(0, 10)} ${JSON.stringify(how)}: ${got.body.length} bytes, not ${expected.length}`);
			assert.equal(got.header('content-length'), String(expected.length));
		}
	}
});

scenario('a large body with a fault at its very end never arrives whole', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const body = `{"model":"m","x":"${'y'.repeat(3 << 20)}"]`;
	const c = await s.connect(d);
	c.request({ path: CHAT, body });
	const reply = await c.readReply({ ms: 20000 });
	assert.equal(reply.status, 400);
	assert.match(reply.json.error.message, new RegExp(`\\b${body.length - 1}\\b`), 'the byte offset');
	for (const conn of provider.connections) {
		await conn.closed();
		const got = conn.take();
		assert.ok(!got.includes(']'), 'the last byte was held back');
	}
});

scenario('every path goes to its place at the provider, the query with it', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: {} }));
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	const c = await s.connect(d);
	for (const path of ['chat/completions', 'completions', 'embeddings', 'responses', 'moderations', 'images/generations', 'rerank']) {
		const reply = await c.exchange({ path: `/v1/${path}?api-version=2&x=%2F`, body: '{"model":"m","input":"x"}' });
		assert.equal(reply.status, 200, `${path}: ${reply.text}`);
		assert.equal(provider.requests.at(-1).target, `/v1/${path}?api-version=2&x=%2F`);
		assert.equal(provider.requests.at(-1).text, '{"model":"m","input":"x"}');
	}
	for (const path of ['messages', 'messages/count_tokens']) {
		const reply = await c.exchange({ path: `/v1/${path}?beta=true`, body: '{"model":"c","messages":[]}' });
		assert.equal(reply.status, 200, `${path}: ${reply.text}`);
		assert.equal(provider.requests.at(-1).target, `/v1/${path}?beta=true`);
	}
	const line = (await d.waitAccess((l) => l.path === '/v1/messages'));
	assert.ok(!JSON.stringify(line).includes('beta'), 'the query is not logged');
});

scenario('audio comes back as the bytes that it is', async (s) => {
	const provider = await s.peer();
	const sound = randomBytes(300_000);
	provider.serve(() => ({ headers: { 'Content-Type': 'audio/mpeg' }, body: sound }));
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const reply = await s.request(d, { path: '/v1/audio/speech', body: '{"model":"m","input":"x","voice":"v"}' });
	assert.equal(reply.header('content-type'), 'audio/mpeg');
	assert.ok(reply.body.equals(sound));
});

scenario('replies come back as they were sent, by length, in chunks and to the end of the connection', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	for (const [name, text] of Object.entries(REPLIES)) {
		const body = Buffer.from(text, 'latin1');
		for (const how of ['length', 'chunked', 'close']) {
			provider.serve((request, conn) => {
				const type = { 'Content-Type': 'application/json' };
				if (how === 'length')
					return replyBytes({ body });
				if (how === 'chunked')
					return Buffer.concat([message('HTTP/1.1 200 OK', { ...type, 'Transfer-Encoding': 'chunked' }),
						...[...body].map((b) => chunk(Buffer.from([b]))), LAST_CHUNK]);
				conn.send(Buffer.concat([message('HTTP/1.1 200 OK', { ...type, Connection: 'close' }), body]));
				conn.end();
				return undefined;
			});
			const reply = await s.request(d, { path: CHAT, body: '{"model":"m"}' });
			assert.equal(reply.status, 200, `${name}, ${how}`);
			assert.ok(reply.body.equals(body), `${name}, ${how}: ${reply.text}`);
			assert.equal(reply.cut, false, `${name}, ${how}`);
		}
	}
});

scenario('a stream comes back byte for byte, whatever its line ends, comments and cuts', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	const last = '{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}';
	const first = '{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"\\ud83d \u00e9\ud83d\ude00 [DONE]"},"finish_reason":null}],"n":1.0}';
	const streams = {
		LF: `data: ${first}\n\ndata: ${last}\n\ndata: [DONE]\n\n`,
		CRLF: `data: ${first}\r\n\r\ndata: ${last}\r\n\r\ndata: [DONE]\r\n\r\n`,
		CR: `data: ${first}\r\rdata: ${last}\r\rdata: [DONE]\r\r`,
		'comments, ids, no space': `: PROCESSING\n\nid: 7\nretry: 10\ndata:${first}\n\n: x\ndata: ${last}\n\n:\ndata: [DONE]\n\n`,
		'data in two lines': `data: ${first.replace(',"choices"', '\ndata: ,"choices"')}\n\ndata: ${last}\n\ndata: [DONE]\n\n`,
		'no blank line at the end': `data: ${first}\n\ndata: ${last}\n\ndata: [DONE]`,
		'no end marker': `data: ${first}\n\ndata: ${last}\n\n`,
	};
	for (const [name, text] of Object.entries(streams)) {
		const body = Buffer.from(text);
		for (const size of [1, 50, body.length]) {
			provider.serve(async (request, conn) => {
				await conn.send(streamHead());
				for (let at = 0; at < body.length; at += size)
					await conn.send(chunk(body.subarray(at, at + size)));
				return LAST_CHUNK;
			});
			const reply = await s.request(d, { path: CHAT, body: '{"model":"m","stream":true}' });
			assert.equal(reply.status, 200);
			assert.match(reply.header('content-type'), /^text\/event-stream/);
			assert.ok(reply.body.equals(body), `${name} in pieces of ${size}: ${reply.text}`);
			assert.equal(reply.cut, false, `${name} in pieces of ${size}`);
			const line = await d.waitAccess(reply.header('x-request-id'));
			assert.equal(line.end, 'complete', name);
			assert.equal(line.stream, true);
			assert.equal(line.input_tokens, 3, name);
			assert.equal(line.output_tokens, 4, name);
		}
	}
	const messages = Buffer.from([
		'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":12,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n',
		'event: ping\ndata: {"type":"ping"}\n\n',
		'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
		'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h\\u0069"}}\n\n',
		'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
		'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":40}}\n\n',
		'event: message_stop\ndata: {"type":"message_stop"}\n\n',
	].join(''));
	provider.serve((request, conn) => conn.send(streamHead()).then(() => Buffer.concat([chunk(messages), LAST_CHUNK])));
	const reply = await s.request(d, { path: '/v1/messages', body: '{"model":"c","max_tokens":9,"stream":true}' });
	assert.ok(reply.body.equals(messages), reply.text);
	const line = await d.waitAccess(reply.header('x-request-id'));
	assert.equal(line.input_tokens, 12);
	assert.equal(line.output_tokens, 40);
});

scenario('an event leaves for the client before the next one has come', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const c = await s.connect(d);
	await c.request({ path: CHAT, body: '{"model":"m","stream":true}' });
	const { conn } = await provider.request();
	await conn.send(streamHead());
	let reply;
	for (let n = 0; n < 50; n++) {
		const data = `{"choices":[{"index":0,"delta":{"content":"${n}"},"finish_reason":null}]}`;
		await conn.send(chunk(`data: ${data}\n\n`));
		reply ??= await c.readHead();
		assert.equal((await reply.event()).data, data);
	}
	await conn.send(Buffer.concat([chunk('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'), LAST_CHUNK]));
	await reply.finish();
	assert.equal(reply.done, true);
});

scenario('the provider\'s errors come back byte for byte with their status and retry headers', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	for (const [path, model, body] of [
		[CHAT, 'm', '{ "error" : {"message":"no \\u00e9","type":"t","param":null,"code":1.0} }\n'],
		['/v1/messages', 'c', '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'],
		[CHAT, 'm', '<html>bad gateway</html>'],
	]) {
		for (const status of [400, 404, 409, 413, 422, 429, 500, 502, 503, 529]) {
			provider.serve(() => ({ status, reason: 'Whatever', headers: { 'Retry-After': '7', 'retry-after-ms': '7100', 'x-should-retry': 'false' }, body }));
			for (const stream of [false, true]) {
				const reply = await s.request(d, { path, json: { model, stream } });
				assert.equal(reply.status, status);
				assert.equal(reply.text, body);
				assert.deepEqual(['retry-after', 'retry-after-ms', 'x-should-retry'].map((n) => reply.header(n)), ['7', '7100', 'false']);
				assert.equal(reply.header('content-type'), 'application/json');
			}
		}
	}
	const line = await d.waitAccess((l) => l.status === 529);
	assert.equal(line.upstream_status, 529);
});

scenario('which headers go upstream', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: OK }));
	const d = await s.daemon({ providers: {
		p: openai(provider),
		q: openai(provider, { models: ['q'], headers: { 'User-Agent': 'mine/1.0', 'X-Extra': 'yes' } }),
	} });
	const headers = {
		Accept: 'application/json', 'Content-Type': 'application/json; charset=utf-8', 'User-Agent': 'test/1',
		'X-Request-Id': 'my-id', 'anthropic-beta': ['a', 'b'], 'OpenAI-Organization': 'org', 'Idempotency-Key': 'k',
		'X-Stainless-Lang': 'js', traceparent: '00-1-2-03', tracestate: 'a=b', 'HTTP-Referer': 'https://example.org', 'X-Title': 't',
		Cookie: 'secret=1', 'Accept-Encoding': 'gzip, br', 'X-Forwarded-For': '10.0.0.1', 'X-Unknown': 'x', Origin: 'https://example.org',
		Connection: 'close, X-Title', 'Keep-Alive': 'timeout=5', TE: 'trailers', 'Proxy-Authorization': 'Basic eA==', Upgrade: 'h2c',
		...chatHeaders, 'x-api-key': 'sk-other',
	};
	await s.request(d, { path: CHAT, headers, body: '{"model":"m"}' });
	const got = provider.requests.at(-1);
	for (const [name, value] of Object.entries({
		accept: 'application/json', 'content-type': 'application/json; charset=utf-8', 'user-agent': 'test/1', 'x-request-id': 'my-id',
		'openai-organization': 'org', 'idempotency-key': 'k', 'x-stainless-lang': 'js', traceparent: '00-1-2-03', tracestate: 'a=b',
		'http-referer': 'https://example.org', 'accept-encoding': 'identity', host: `127.0.0.1:${provider.port}`,
	}))
		assert.deepEqual(got.headers(name), [value], name);
	assert.deepEqual(got.headers('anthropic-beta').join(', '), 'a, b');
	for (const name of ['cookie', 'x-forwarded-for', 'x-unknown', 'origin', 'keep-alive', 'te', 'proxy-authorization', 'upgrade', 'authorization',
		'x-api-key', 'x-title', 'expect'])
		assert.equal(got.header(name), undefined, `${name} must not cross`);

	await s.request(d, { path: CHAT, headers, body: '{"model":"q"}' });
	const configured = provider.requests.at(-1);
	assert.deepEqual(configured.headers('user-agent'), ['mine/1.0']);
	assert.deepEqual(configured.headers('x-extra'), ['yes']);
	await s.request(d, { path: CHAT, body: '{"model":"m"}' });
	assert.match(provider.requests.at(-1).header('x-request-id'), /^[0-9a-f]{32}$/, 'a made id goes upstream too');
});

scenario('which headers come back', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({
		headers: {
			'x-request-id': 'provider-1', 'request-id': 'provider-2', 'openai-processing-ms': '12', 'x-ratelimit-remaining-requests': '9', 'X-Odd': ['1', '2'],
			'Set-Cookie': ['a=1', 'b=2'], Server: 'cloud', 'Alt-Svc': 'h3=":443"', 'Keep-Alive': 'timeout=5', Connection: 'keep-alive, x-named',
			'x-named': 'hop', 'Proxy-Authenticate': 'Basic', Upgrade: 'h2', 'anthropic-ratelimit-requests-limit': '5',
		},
		body: OK,
	}));
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	const reply = await s.request(d, { path: CHAT, body: '{"model":"m"}' });
	assert.equal(reply.headers('x-request-id').length, 1);
	assert.match(reply.header('x-request-id'), /^[0-9a-f]{32}$/);
	assert.deepEqual(reply.headers('x-upstream-request-id'), ['provider-1']);
	assert.deepEqual(reply.headers('x-odd'), ['1', '2']);
	assert.equal(reply.header('openai-processing-ms'), '12');
	assert.equal(reply.header('x-ratelimit-remaining-requests'), '9');
	assert.deepEqual(reply.headers('x-api-router-provider'), ['p']);
	assert.deepEqual(reply.headers('x-api-router-model'), ['m']);
	for (const name of ['set-cookie', 'server', 'alt-svc', 'keep-alive', 'x-named', 'proxy-authenticate', 'upgrade'])
		assert.equal(reply.header(name), undefined, `${name} must not cross`);

	const other = await s.request(d, { path: '/v1/messages', body: '{"model":"c"}' });
	assert.deepEqual(other.headers('request-id'), other.headers('x-request-id'));
	assert.equal(other.headers('x-request-id').length, 1);
	assert.equal(other.header('anthropic-ratelimit-requests-limit'), '5');
	assert.match(other.header('x-upstream-request-id'), /^provider-/);
});

scenario('credentials: provider, none, client, client-or-provider', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: {} }));
	const each = (make, letter) => ({
		[`${letter}1`]: make(provider, { models: [`${letter}1`], api_key: 'sk-ours' }),
		[`${letter}2`]: make(provider, { models: [`${letter}2`] }),
		[`${letter}3`]: make(provider, { models: [`${letter}3`], credential: 'client', api_key: 'sk-ours' }),
		[`${letter}4`]: make(provider, { models: [`${letter}4`], credential: 'client-or-provider', api_key: 'env:OUR_KEY' }),
		[`${letter}5`]: make(provider, { models: [`${letter}5`], credential: 'none', api_key: 'sk-ours' }),
	});
	const d = s.command({ providers: { ...each(openai, 'o'), ...each(anthropic, 'a') } }, { env: { OUR_KEY: 'sk-env' } });
	await d.start();
	const sent = async (model, headers) => {
		const path = model.startsWith('a') ? '/v1/messages' : CHAT;
		const reply = await s.request(d, { path, headers: { Connection: 'close', ...headers }, json: { model } });
		assert.equal(reply.status, 200, `${model}: ${reply.text}`);
		const got = provider.requests.at(-1);
		return [got.header('authorization'), got.header('x-api-key')];
	};
	const bearer = { Authorization: 'Bearer sk-client' };
	const key = { 'x-api-key': 'sk-client' };
	assert.deepEqual(await sent('o1', bearer), ['Bearer sk-ours', undefined]);
	assert.deepEqual(await sent('o1', {}), ['Bearer sk-ours', undefined]);
	assert.deepEqual(await sent('o2', bearer), [undefined, undefined]);
	assert.deepEqual(await sent('o3', bearer), ['Bearer sk-client', undefined]);
	assert.deepEqual(await sent('o3', {}), [undefined, undefined]);
	assert.deepEqual(await sent('o4', bearer), ['Bearer sk-client', undefined]);
	assert.deepEqual(await sent('o4', {}), ['Bearer sk-env', undefined]);
	assert.deepEqual(await sent('o5', bearer), [undefined, undefined]);
	assert.deepEqual(await sent('a1', key), [undefined, 'sk-ours']);
	assert.deepEqual(await sent('a1', bearer), [undefined, 'sk-ours']);
	assert.deepEqual(await sent('a2', key), [undefined, undefined]);
	assert.deepEqual(await sent('a3', key), [undefined, 'sk-client']);
	assert.deepEqual(await sent('a3', bearer), ['Bearer sk-client', undefined]);
	assert.deepEqual(await sent('a4', {}), [undefined, 'sk-env']);
	assert.deepEqual(await sent('a5', key), [undefined, undefined]);
	assert.ok(!/sk-(ours|env|client)/.test(await d.logged(provider.requests.length) + d.log), 'no key is ever logged');
});

scenario('anthropic-version: the client\'s, else the provider\'s', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: {} }));
	const d = await s.daemon({ providers: { a: anthropic(provider), b: anthropic(provider, { models: ['b'], version: '2026-10-21' }) } });
	const sent = async (model, headers) => {
		await s.request(d, { path: '/v1/messages', headers: { Connection: 'close', ...headers }, json: { model } });
		return provider.requests.at(-1).headers('anthropic-version');
	};
	assert.deepEqual(await sent('c', {}), ['2023-06-01']);
	assert.deepEqual(await sent('b', {}), ['2026-10-21']);
	assert.deepEqual(await sent('b', { 'anthropic-version': '2023-06-01' }), ['2023-06-01']);
	assert.deepEqual(await sent('c', { 'anthropic-version': '2026-10-21' }), ['2026-10-21']);
});

scenario('a 401 for our credential is a 502 that names the variable; for the client\'s own it is the 401', async (s) => {
	const provider = await s.peer();
	const body = '{"error":{"message":"Incorrect API key provided: sk-ou***","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}';
	provider.serve(() => ({ status: 401, reason: 'Unauthorized', body }));
	const d = s.command({ providers: {
		ours: openai(provider, { models: ['ours'], api_key: 'env:OUR_KEY' }),
		theirs: openai(provider, { models: ['theirs'], credential: 'client' }),
	} }, { env: { OUR_KEY: 'sk-ours-1234' } });
	await d.start();
	const ours = await s.request(d, { path: CHAT, json: { model: 'ours' } });
	assert.equal(ours.status, 502);
	assert.match(ours.json.error.message, /OUR_KEY/);
	assert.equal(ours.json.error.code, 'upstream_error');
	assert.ok(!ours.text.includes('sk-ou'));
	assert.equal(ours.header('x-should-retry'), 'false');
	assert.equal((await d.waitAccess(ours.header('x-request-id'))).upstream_status, 401);
	await d.waitLog(/OUR_KEY/);
	const theirs = await s.request(d, { path: CHAT, headers: { ...chatHeaders, Connection: 'close' }, json: { model: 'theirs' } });
	assert.equal(theirs.status, 401);
	assert.equal(theirs.text, body);
});

scenario('a key that is not set is a 502 that names the variable, before anything goes upstream', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider, { api_key: 'env:NEVER_SET_KEY' }) } });
	const reply = await s.request(d, { path: CHAT, json: { model: 'm' } });
	assert.equal(reply.status, 502);
	assert.match(reply.json.error.message, /NEVER_SET_KEY/);
	assert.equal(reply.header('x-should-retry'), 'false');
	assert.equal(provider.connections.length, 0);
});

scenario('bodies that cannot be routed are a 400 that says why, and nothing goes upstream', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider), a: anthropic(provider) } });
	for (const [body, reason] of [
		['{"messages":[]}', /model/],
		['{"model":"m","model":"m"}', /model/],
		['{"model":"m","mod\\u0065l":"x"}', /model/],
		['{"model":"m","stream":true,"stream":false}', /stream/],
		['{"model":7}', /model/],
		['{"model":"m","stream":"true"}', /stream/],
		['{"model":"m",}', /\b13\b/],
		['{"model":"m"} x', /\b14\b/],
		['{"model":"m","x":01}', /\b18\b/],
		['["m"]', /object/],
		['', /empty|body|JSON/],
		[Buffer.from('{"model":"m","x":"\xff"}', 'latin1'), /UTF-8|\b18\b/],
		[`{"model":"m","x":${'['.repeat(600)}${']'.repeat(600)}}`, /json_depth|deep/],
	]) {
		const reply = await s.request(d, { path: CHAT, body });
		assert.equal(reply.status, 400, `${body.slice(0, 60)}: ${reply.text}`);
		assert.match(reply.json.error.message, reason, String(body.slice(0, 60)));
		assert.equal(reply.json.error.type, 'invalid_request_error');
		const messages = await s.request(d, { path: '/v1/messages', body });
		assert.equal(messages.status, 400);
		assert.equal(messages.json.error.type, 'invalid_request_error');
	}
	assert.equal(provider.connections.length, 0);
});

scenario('a coded request body is a 415', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const reply = await s.request(d, { path: CHAT, headers: { 'Content-Encoding': 'gzip', Connection: 'close' }, body: '{"model":"m"}' });
	assert.equal(reply.status, 415);
	assert.match(reply.json.error.message, /gzip/);
	assert.equal((await s.request(d, { path: '/health' })).status, 200);
});
